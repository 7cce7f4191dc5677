// Finds the kernels in a source that went through the preprocessor, so that the sources need no marks of ours.
#pragma once

#include <string>
#include <vector>

namespace emulator {

struct FoundKernel {
    std::string name;
    std::string max_threads;  // the first argument of __launch_bounds__, as it stands there; "0" when there is none
    std::string file;
    int first_line, last_line;
};

// Every definition of a `__global__` function that is `extern "C"`, in order. What is `__global__` and not `extern "C"`
// could not be found by its name; its name goes into `nameless`.
std::vector<FoundKernel> find_kernels(const std::string& text, std::vector<std::string>& nameless);

// The declarations of an image's kernels, to be compiled below the text.
std::string kernel_list(const std::vector<FoundKernel>& kernels, const std::string& program);

}  // namespace emulator
