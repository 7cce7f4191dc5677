// The stand-in run-time compiler, `libnvrtc.so`: has the host's C++ compiler make a shared object of a kernel source.
// The functions have the names, arguments and answers of NVRTC.
//
// A source goes through the compiler twice. First through the preprocessor alone, without device.h, so that words like
// `__global__` are still there to find the kernels by; the result, with a list of the kernels below it, is then
// compiled with device.h in front. The preprocessor's line marks stay, so messages name the lines of the source.

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "image.h"
#include "machine.h"
#include "scan.h"

#define NVRTC_API extern "C" __attribute__((visibility("default"))) emulator::Result

extern char** environ;

namespace emulator {

enum Result : int {
    SUCCESS = 0,
    OUT_OF_MEMORY = 1,
    PROGRAM_CREATION_FAILURE = 2,
    INVALID_INPUT = 3,
    INVALID_PROGRAM = 4,
    INVALID_OPTION = 5,
    COMPILATION = 6,
    INTERNAL_ERROR = 11,
};

struct Program {
    std::string name, source, log, ptx;
    std::string misfit;  // why EMULATOR_EDIT cannot be done to it
    std::map<std::string, std::string> headers;
    std::vector<char> cubin;
};

namespace {

std::string environment(const char* name, const std::string& otherwise) {
    const char* text = getenv(name);
    return text && *text ? text : otherwise;
}

// EMULATOR_NVRTC: 12090 for CUDA 12.9.
int version() { return atoi(environment("EMULATOR_NVRTC", "12090").c_str()); }

std::vector<int> architectures() {
    if (version() >= 13000) return {75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121};
    return {50, 52, 53, 60, 61, 62, 70, 72, 75, 80, 86, 87, 89, 90, 100, 101, 103, 120, 121};
}

// ---- files ------------------------------------------------------------------------------------------------------

// The folder of this library. device.h lies there, too.
std::string own_folder() {
    Dl_info info;
    if (!dladdr(reinterpret_cast<void*>(&own_folder), &info)) return ".";
    const std::string path = info.dli_fname;
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? "." : path.substr(0, slash);
}

bool read_file(const std::string& path, std::vector<char>& bytes) {
    FILE* file = fopen(path.c_str(), "rb");
    if (!file) return false;
    char part[1 << 16];
    for (size_t count; (count = fread(part, 1, sizeof part, file)) > 0;) bytes.insert(bytes.end(), part, part + count);
    const bool good = !ferror(file);
    fclose(file);
    return good;
}

bool write_file(const std::string& path, const void* bytes, size_t size) {
    FILE* file = fopen(path.c_str(), "wb");
    if (!file) return false;
    const bool good = fwrite(bytes, 1, size, file) == size;
    return (fclose(file) == 0) && good;
}

// A folder for one compilation, removed with what is in it.
class Workshop {
  public:
    explicit Workshop(const std::string& parent) : path_(parent + "/compiling-XXXXXX") {
        mkdir(parent.c_str(), 0777);
        if (!mkdtemp(path_.data())) path_.clear();
    }
    ~Workshop() {
        for (auto file = files_.rbegin(); file != files_.rend(); ++file) remove(file->c_str());
        if (!path_.empty()) rmdir(path_.c_str());
    }
    bool there() const { return !path_.empty(); }
    const std::string& path() const { return path_; }
    // The path of a file in it, which is going to be made.
    std::string file(const std::string& name) {
        for (size_t slash = name.find('/'); slash != std::string::npos; slash = name.find('/', slash + 1)) {
            const std::string folder = path_ + "/" + name.substr(0, slash);
            if (mkdir(folder.c_str(), 0777) == 0) files_.push_back(folder);
        }
        files_.push_back(path_ + "/" + name);
        return files_.back();
    }

  private:
    std::string path_;
    std::vector<std::string> files_;
};

// ---- the C++ compiler -------------------------------------------------------------------------------------------

std::vector<std::string> words(const std::string& text) {
    std::vector<std::string> list;
    for (size_t at = 0; (at = text.find_first_not_of(' ', at)) != std::string::npos;) {
        const size_t end = std::min(text.find(' ', at), text.size());
        list.push_back(text.substr(at, end - at));
        at = end;
    }
    return list;
}

std::string cxx() { return environment("CXX", "c++"); }

// Runs a command in a folder. A sanitizer that is preloaded into this process is none of the compiler's affairs.
bool run(std::vector<std::string> command, const std::string& folder, const std::string& out, std::string& log) {
    std::vector<char*> arguments, variables;
    for (std::string& word : command) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    for (char** variable = environ; *variable; ++variable) {
        if (strncmp(*variable, "LD_PRELOAD=", 11) != 0) variables.push_back(*variable);
    }
    variables.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    pid_t child;
    const int failed = posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), variables.data());
    posix_spawn_file_actions_destroy(&actions);
    if (failed) {
        log += "nvrtc: error: cannot run the C++ compiler `" + command[0] + "`: " + strerror(failed) + "\n";
        return false;
    }
    int status;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) return false;
    }
    std::vector<char> written;
    read_file(out, written);
    log.append(written.begin(), written.end());
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::vector<std::string> flags_for_code() {
    // The stack of a thread is small: each page that a function takes is touched in turn, so that none is leapt over.
    std::vector<std::string> flags = words("-fPIC -shared -fvisibility=hidden -fstack-clash-protection");
    auto add = [&](const char* more) {
        for (std::string& word : words(more)) flags.push_back(word);
    };
    add("-Wno-unknown-pragmas -Wno-attributes");
    // A kernel says __fmaf_rn where it means it; what else a compiler might contract would differ from host to host.
    add("-ffp-contract=off");
#if defined(__x86_64__)
    if (__builtin_cpu_supports("fma")) add("-mfma");
#endif
    const std::string sanitizer = environment("EMULATOR_SANITIZE", "");
    if (sanitizer == "address") {
        add("-O1 -g1 -fno-omit-frame-pointer -fsanitize=address,undefined");
        add("-fno-sanitize=vptr -fno-sanitize-recover=all");
    } else if (sanitizer == "thread") {
        add("-O1 -g1 -fsanitize=thread");
    } else {
        add("-O2");
    }
    return flags;
}

// ---- options ----------------------------------------------------------------------------------------------------

struct Options {
    int arch = 52;
    bool real = false;                // sm_, not compute_
    std::vector<std::string> passed;  // on to the preprocessor
};

// The options of NVRTC that change nothing here.
bool without_effect(const std::string& option) {
    static const char* const names[] = {
        "--fmad", "-fmad", "--use_fast_math", "-use_fast_math", "--ftz", "-ftz", "--prec-sqrt", "--prec-div",
        "--ptxas-options", "-Xptxas", "--maxrregcount", "-maxrregcount", "--generate-line-info", "-lineinfo",
        "--device-debug", "-G", "--std", "-std", "--device-as-default-execution-space", "-default-device", "--restrict",
        "-restrict", "--extra-device-vectorization", "-extra-device-vectorization", "--disable-warnings", "-w",
        "--minimal", "-minimal", "--dopt", "-dopt", "--split-compile", "-split-compile", "--Ofast-compile",
        "--diag-suppress", "-diag-suppress", "--no-source-include", "-no-source-include", "--relocatable-device-code",
    };
    const std::string name = option.substr(0, option.find('='));
    return std::any_of(std::begin(names), std::end(names), [&](const char* known) { return name == known; });
}

bool parse_architecture(const std::string& value, Options& options) {
    options.real = value.compare(0, 3, "sm_") == 0;
    if (!options.real && value.compare(0, 8, "compute_") != 0) return false;
    options.arch = atoi(value.c_str() + value.find('_') + 1);  // a letter behind the number is left out
    const std::vector<int> known = architectures();
    return std::find(known.begin(), known.end(), options.arch) != known.end();
}

// Empty when all is well, else what is wrong.
std::string parse(int count, const char* const* texts, Options& options) {
    for (int i = 0; i < count; ++i) {
        const std::string option = texts[i];
        auto starts = [&](const char* start) { return option.compare(0, strlen(start), start) == 0; };
        // The value of an option that may also stand in the next text.
        auto value = [&](size_t length) -> std::string {
            if (option.size() > length) return option.substr(length + (option[length] == '=' ? 1 : 0));
            return i + 1 < count ? texts[++i] : "";
        };
        if (starts("--gpu-architecture") || starts("-arch")) {
            const std::string arch = value(starts("-arch") ? 5 : 18);
            const bool known = parse_architecture(arch, options);
            if (!known) return "invalid value '" + arch + "' for --gpu-architecture (-arch)";
        } else if (starts("--define-macro") || starts("-D")) {
            options.passed.push_back("-D" + value(starts("-D") ? 2 : 14));
        } else if (starts("--undefine-macro") || starts("-U")) {
            options.passed.push_back("-U" + value(starts("-U") ? 2 : 16));
        } else if (starts("--include-path") || starts("-I")) {
            options.passed.push_back("-I" + value(starts("-I") ? 2 : 14));
        } else if (without_effect(option)) {
            const bool separate = option == "-Xptxas" || option == "--ptxas-options" || option == "--maxrregcount";
            if (separate) ++i;
        } else {
            return "unrecognized option '" + option + "' found";
        }
    }
    return "";
}

// ---- compiling --------------------------------------------------------------------------------------------------

// Names that lead out of the folder of a compilation are not for files.
bool plain(const std::string& name) {
    return !name.empty() && name[0] != '/' && name.find("..") == std::string::npos;
}

Result compile(Program& program, const Options& options, const std::string& folder) {
    Workshop shop(folder);
    if (!shop.there()) {
        program.log = "nvrtc: error: cannot make a folder in " + folder + ": " + strerror(errno) + "\n";
        return INTERNAL_ERROR;
    }
    bool good = write_file(shop.file(program.name), program.source.data(), program.source.size());
    for (auto& [name, text] : program.headers) good = good && write_file(shop.file(name), text.data(), text.size());
    const std::string messages = shop.file("messages"), expanded = "expanded.cpp", object = shop.file("object.so");

    std::vector<std::string> preprocess = words(cxx() + " -E -x c++ -std=c++17 -I.");
    for (const char* define : {"-DEMULATOR", "-D__CUDACC__", "-D__CUDACC_RTC__"}) preprocess.push_back(define);
    preprocess.push_back("-D__CUDA_ARCH__=" + std::to_string(options.arch * 10));
    preprocess.insert(preprocess.end(), options.passed.begin(), options.passed.end());
    for (const std::string& word : {program.name, std::string("-o"), expanded}) preprocess.push_back(word);
    std::vector<char> bytes;
    const std::string expanded_path = shop.file(expanded);
    if (!good || !run(preprocess, shop.path(), messages, program.log)) return COMPILATION;
    if (!read_file(expanded_path, bytes)) return INTERNAL_ERROR;

    std::string text(bytes.begin(), bytes.end());
    std::vector<std::string> nameless;
    const std::vector<FoundKernel> kernels = find_kernels(text, nameless);
    for (const std::string& name : nameless) {
        program.log += program.name + ": error: kernel `" + name + "` is not extern \"C\"\n";
    }
    if (!nameless.empty()) return COMPILATION;
    text += kernel_list(kernels, program.name);

    std::vector<std::string> build = words(cxx() + " -x c++ -std=c++17 -include");
    build.push_back(own_folder() + "/device.h");
    for (std::string& flag : flags_for_code()) build.push_back(flag);
    // What a sanitizer calls the source; the folder is gone by then.
    build.push_back("-fdebug-prefix-map=" + shop.path() + "=kernels");
    for (const std::string& word : {expanded, std::string("-o"), std::string("object.so")}) build.push_back(word);
    bytes.clear();
    if (!write_file(expanded_path, text.data(), text.size())) return INTERNAL_ERROR;
    if (!run(build, shop.path(), messages, program.log)) return COMPILATION;
    if (!read_file(object, bytes)) return INTERNAL_ERROR;

    ImageHeader header{};
    memcpy(header.magic, IMAGE_MAGIC, sizeof header.magic);
    header.interface = INTERFACE;
    header.arch = static_cast<uint32_t>(options.arch);
    header.size = bytes.size();
    header.digest = digest(bytes.data(), bytes.size());
    const char* start = reinterpret_cast<const char*>(&header);
    program.cubin.assign(start, start + sizeof header);
    program.cubin.insert(program.cubin.end(), bytes.begin(), bytes.end());
    return SUCCESS;
}

// ---- EMULATOR_EDIT: one place of one file reads otherwise, for tests of what finds mistakes ----------------------------

// As in sed, the first character divides the parts: @FILE@TEXT@OTHER. Empty when that was done, or the program knows no
// such file, else what is wrong: an edit that no longer fits must not pass for one that was found.
std::string edit(Program& program) {
    const std::string order = environment("EMULATOR_EDIT", "");
    if (order.empty()) return "";
    std::vector<std::string> parts;
    for (size_t at = 0; at != std::string::npos;) {
        const size_t end = order.find(order[0], at + 1);
        parts.push_back(order.substr(at + 1, end == std::string::npos ? end : end - at - 1));
        at = end;
    }
    if (parts.size() != 3 || parts[0].empty() || parts[1].empty()) {
        return "EMULATOR_EDIT: expected @FILE@TEXT@OTHER, got " + order;
    }
    const auto header = program.headers.find(parts[0]);
    if (program.name != parts[0] && header == program.headers.end()) return "";
    std::string& text = program.name == parts[0] ? program.source : header->second;
    int count = 0;
    for (size_t at = 0; (at = text.find(parts[1], at)) != std::string::npos; at += parts[1].size()) ++count;
    if (count != 1) {
        return "EMULATOR_EDIT: " + parts[0] + " has this " + std::to_string(count) + " times, not once: " + parts[1];
    }
    text.replace(text.find(parts[1]), parts[1].size(), parts[2]);
    return "";
}

// ---- the cache: what was compiled once, by all that went into it ------------------------------------------------

uint64_t add(uint64_t key, const std::string& text) {
    const uint64_t length = text.size();
    return digest(text.data(), text.size(), digest(&length, sizeof length, key));
}

// The headers that the source includes, or one of those does: a word in quotes is enough. Others change nothing.
std::map<std::string, std::string> included(const Program& program) {
    std::map<std::string, std::string> found;
    std::vector<const std::string*> texts = {&program.source};
    while (!texts.empty()) {
        const std::string& text = *texts.back();
        texts.pop_back();
        for (auto& [name, header] : program.headers) {
            const bool named = text.find('"' + name + '"') != std::string::npos;
            if (named && found.emplace(name, header).second) texts.push_back(&header);
        }
    }
    return found;
}

std::string key(const Program& program, const Options& options) {
    std::vector<std::string> parts = {program.name, program.source, std::to_string(options.arch), cxx()};
    for (auto& [name, text] : included(program)) parts.insert(parts.end(), {name, text});
    parts.insert(parts.end(), options.passed.begin(), options.passed.end());
    for (const std::string& flag : flags_for_code()) parts.push_back(flag);
    for (const char* name : {"/device.h", "/machine.h"}) {
        std::vector<char> bytes;
        read_file(own_folder() + name, bytes);
        parts.emplace_back(bytes.begin(), bytes.end());
    }
    // Two sums of 64 bits, so that two sources never meet by chance.
    uint64_t one = digest("one", 3), two = digest("two", 3);
    for (const std::string& part : parts) {
        one = add(one, part);
        two = add(two ^ one >> 7, part);
    }
    char text[33];
    snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(one),
             static_cast<unsigned long long>(two));
    return text;
}

bool cached(const std::string& path, std::vector<char>& cubin) {
    std::vector<char> bytes;
    ImageHeader header;
    if (!read_file(path, bytes) || bytes.size() < sizeof header) return false;
    memcpy(&header, bytes.data(), sizeof header);
    const size_t size = bytes.size() - sizeof header;
    if (header.interface != INTERFACE || header.size != size) return false;
    if (digest(bytes.data() + sizeof header, size) != header.digest) return false;
    cubin = std::move(bytes);
    return true;
}

// Several processes may store the same at once: each writes a file of its own and renames it.
void store(const std::string& path, const std::vector<char>& cubin) {
    std::string partial = path + ".XXXXXX";
    const int file = mkstemp(partial.data());
    if (file < 0) return;
    close(file);
    const bool good = write_file(partial, cubin.data(), cubin.size()) && rename(partial.c_str(), path.c_str()) == 0;
    if (!good) unlink(partial.c_str());
}

}  // namespace
}  // namespace emulator

using namespace emulator;

NVRTC_API nvrtcVersion(int* major, int* minor) {
    *major = version() / 1000;
    *minor = version() % 1000 / 10;
    return SUCCESS;
}

NVRTC_API nvrtcGetNumSupportedArchs(int* count) {
    *count = static_cast<int>(architectures().size());
    return SUCCESS;
}
NVRTC_API nvrtcGetSupportedArchs(int* list) {
    const std::vector<int> known = architectures();
    std::copy(known.begin(), known.end(), list);
    return SUCCESS;
}

extern "C" __attribute__((visibility("default"))) const char* nvrtcGetErrorString(Result result) {
    switch (result) {
        case SUCCESS: return "NVRTC_SUCCESS";
        case OUT_OF_MEMORY: return "NVRTC_ERROR_OUT_OF_MEMORY";
        case PROGRAM_CREATION_FAILURE: return "NVRTC_ERROR_PROGRAM_CREATION_FAILURE";
        case INVALID_INPUT: return "NVRTC_ERROR_INVALID_INPUT";
        case INVALID_PROGRAM: return "NVRTC_ERROR_INVALID_PROGRAM";
        case INVALID_OPTION: return "NVRTC_ERROR_INVALID_OPTION";
        case COMPILATION: return "NVRTC_ERROR_COMPILATION";
        case INTERNAL_ERROR: return "NVRTC_ERROR_INTERNAL_ERROR";
    }
    return "NVRTC_ERROR unknown";
}

NVRTC_API nvrtcCreateProgram(Program** program, const char* source, const char* name, int headers,
                             const char* const* texts, const char* const* names) {
    if (!program || !source || headers < 0) return INVALID_INPUT;
    auto* made = new Program;
    made->name = name ? name : "default_program";
    made->source = source;
    bool good = plain(made->name);
    for (int i = 0; i < headers; ++i) {
        good = good && plain(names[i]);
        made->headers[names[i]] = texts[i];
    }
    if (!good) {
        delete made;
        return PROGRAM_CREATION_FAILURE;
    }
    made->misfit = edit(*made);
    *program = made;
    return SUCCESS;
}

NVRTC_API nvrtcDestroyProgram(Program** program) {
    if (!program || !*program) return INVALID_PROGRAM;
    delete *program;
    *program = nullptr;
    return SUCCESS;
}

NVRTC_API nvrtcCompileProgram(Program* program, int count, const char* const* texts) {
    if (!program) return INVALID_PROGRAM;
    program->log.clear();
    program->cubin.clear();
    program->ptx.clear();
    Options options;
    const std::string wrong = parse(count, texts, options);
    if (!wrong.empty()) {
        program->log = "nvrtc: error: " + wrong + "\n";
        return INVALID_OPTION;
    }
    if (!program->misfit.empty()) {
        program->log = "nvrtc: error: " + program->misfit + "\n";
        return COMPILATION;
    }
    // A driver would have to compile PTX itself; the stand-in driver refuses it.
    program->ptx = "// PTX of the emulated device: nothing can be done with it\n";
    const std::string folder = environment("EMULATOR_CACHE", own_folder() + "/images");
    const std::string path = folder + "/" + key(*program, options) + ".cubin";
    if (!cached(path, program->cubin)) {
        if (Result failed = compile(*program, options, folder)) return failed;
        store(path, program->cubin);
    }
    if (!options.real) program->cubin.clear();
    return SUCCESS;
}

NVRTC_API nvrtcGetProgramLogSize(Program* program, size_t* size) {
    if (!program) return INVALID_PROGRAM;
    *size = program->log.size() + 1;
    return SUCCESS;
}
NVRTC_API nvrtcGetProgramLog(Program* program, char* log) {
    if (!program) return INVALID_PROGRAM;
    memcpy(log, program->log.c_str(), program->log.size() + 1);
    return SUCCESS;
}

NVRTC_API nvrtcGetCUBINSize(Program* program, size_t* size) {
    if (!program) return INVALID_PROGRAM;
    *size = program->cubin.size();
    return SUCCESS;
}
NVRTC_API nvrtcGetCUBIN(Program* program, char* cubin) {
    if (!program || program->cubin.empty()) return INVALID_PROGRAM;
    std::copy(program->cubin.begin(), program->cubin.end(), cubin);
    return SUCCESS;
}

NVRTC_API nvrtcGetPTXSize(Program* program, size_t* size) {
    if (!program) return INVALID_PROGRAM;
    *size = program->ptx.size() + 1;
    return SUCCESS;
}
NVRTC_API nvrtcGetPTX(Program* program, char* ptx) {
    if (!program) return INVALID_PROGRAM;
    memcpy(ptx, program->ptx.c_str(), program->ptx.size() + 1);
    return SUCCESS;
}
