// libtorch, called from C++ without Python: inference mode, the modules and the functional cells. A peer in
// another language, as README.md describes it: `libtorch FOLDER` prints a line of JSON for each result.
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using torch::Tensor;

/// A network of the folder; x is [T,B,I], y [T,B].
struct Net {
    std::string kind, cell, size;
    int64_t input, hidden, layers, steps, batch;
    std::vector<float> weights, x;
    std::vector<double> y;

    /// The tensors in the order of PyTorch's state_dict, each a view of `weights`.
    std::vector<Tensor> tensors() {
        std::vector<Tensor> found;
        float* at = weights.data();
        auto next = [&](std::vector<int64_t> dims) {
            found.push_back(torch::from_blob(at, dims));
            at += found.back().numel();
        };
        const int64_t rows = (cell == "lstm" ? 4 : cell == "gru" ? 3 : 1) * hidden;
        for (int64_t layer = 0; layer < layers; ++layer) {
            next({rows, layer == 0 ? input : hidden});
            next({rows, hidden});
            next({rows});
            next({rows});
        }
        next({1, hidden});
        next({1});
        return found;
    }
};

template <typename T> std::vector<T> read(const std::string& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file) {
        std::fprintf(stderr, "%s: cannot be read; `peers FOLDER` writes it\n", path.c_str());
        std::exit(1);
    }
    std::vector<T> values(static_cast<size_t>(file.tellg()) / sizeof(T));
    file.seekg(0);
    file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(T)));
    return values;
}

std::vector<Net> read_nets(const std::string& folder) {
    std::vector<Net> nets;
    std::ifstream list(folder + "/nets.txt");
    for (std::string line; std::getline(list, line);) {
        Net net;
        std::istringstream(line) >> net.kind >> net.cell >> net.size >> net.input >> net.hidden >> net.layers >>
            net.steps >> net.batch;
        const std::string base = folder + "/" + net.cell + "_" + net.size;
        net.weights = read<float>(base + ".weights");
        net.x = read<float>(base + ".x");
        net.y = read<double>(base + ".y");
        nets.push_back(std::move(net));
    }
    return nets;
}

bool quick() {
    return std::getenv("PEERS_QUICK") != nullptr;
}

/// Whether one of the parts of PEERS_WORKLOADS is in the name.
bool wanted(const std::string& workload) {
    const char* parts = std::getenv("PEERS_WORKLOADS");
    if (parts == nullptr || *parts == '\0') {
        return true;
    }
    std::istringstream list(parts);
    for (std::string part; std::getline(list, part, ',');) {
        if (!part.empty() && workload.find(part) != std::string::npos) {
            return true;
        }
    }
    return false;
}

double nanoseconds(Clock::time_point since) {
    return std::chrono::duration<double, std::nano>(Clock::now() - since).count();
}

/// ns of one call: the median of thirty samples, as criterion takes them.
double usual(const std::function<void()>& work) {
    const double sample = (quick() ? 0.03e9 : 0.25e9) / 30;
    int calls = 1;
    double time = 0;
    for (;; calls *= 2) {
        const auto start = Clock::now();
        for (int i = 0; i < calls; ++i) {
            work();
        }
        time = nanoseconds(start);
        if (time > (quick() ? 0.02e9 : 0.1e9)) {
            break;
        }
    }
    calls = std::max(1, static_cast<int>(calls * sample / time));
    std::vector<double> samples;
    for (int i = 0; i < 30; ++i) {
        const auto start = Clock::now();
        for (int k = 0; k < calls; ++k) {
            work();
        }
        samples.push_back(nanoseconds(start) / calls);
    }
    std::sort(samples.begin(), samples.end());
    return samples[samples.size() / 2];
}

/// The largest distance from float64. What is not a number counts as 1e30.
double largest_error(const std::vector<float>& found, const std::vector<double>& truth) {
    double largest = 0;
    for (size_t i = 0; i < truth.size(); ++i) {
        const double error = std::fabs(found[i] - truth[i]);
        largest = error <= largest ? largest : error;
    }
    return std::isfinite(largest) ? largest : 1e30;
}

void print(const std::string& workload, const char* variant, double error, double ns, const std::string& rest) {
    std::printf(R"({"workload":"%s","peer":"libtorch","variant":"%s","threads":%d,"error":%.3g,"ns":%.2f%s})",
                workload.c_str(), variant, at::get_num_threads(), error, ns, rest.c_str());
    std::printf("\n");
    std::fflush(stdout);
}

using Step = std::function<float(const float*)>;

void measure_steps(const Net& net, const char* variant, const Step& step) {
    const std::string workload = net.cell + "_step/" + net.size;
    std::vector<float> y;
    for (int64_t t = 0; t < net.steps; ++t) {
        y.push_back(step(&net.x[t * net.input]));
    }
    const double error = largest_error(y, net.y);
    int64_t t = 0;
    auto next = [&] {
        t = t + 1 == net.steps ? 0 : t + 1;
        return &net.x[t * net.input];
    };
    const double ns = usual([&] { step(next()); });
    std::vector<double> times;
    for (const auto start = Clock::now(); times.size() < 50'000 && nanoseconds(start) < 0.15e9;) {
        const float* x = next();
        const auto before = Clock::now();
        step(x);
        times.push_back(nanoseconds(before));
    }
    std::sort(times.begin(), times.end());
    auto at = [&](double share) { return times[static_cast<size_t>((times.size() - 1) * share)]; };
    char tail[160];
    std::snprintf(tail, sizeof tail, ",\"p50\":%.0f,\"p99\":%.0f,\"p99.9\":%.0f,\"max\":%.0f", at(0.5), at(0.99),
                  at(0.999), at(1.0));
    print(workload, variant, error, ns, tail);
}

/// A module of torch::nn with the weights of the network.
template <typename Module> void load(Module& module, const std::vector<Tensor>& tensors) {
    auto parameters = module->parameters();
    for (size_t i = 0; i < parameters.size(); ++i) {
        parameters[i].copy_(tensors[i]);
    }
    module->eval();
}

/// x [T,B,I] and the state in, h [T,B,H] and the next state out.
template <typename State> using Recurrent = std::function<std::tuple<Tensor, State>(const Tensor&, const State&)>;

/// The network's module of torch::nn, given to `use` with a state of zero for as many sequences as asked.
template <typename Use> void with_module(Net& net, int64_t batch, Use use) {
    const auto tensors = net.tensors();
    const auto zero = [&] { return torch::zeros({net.layers, batch, net.hidden}); };
    if (net.cell == "lstm") {
        torch::nn::LSTM lstm(torch::nn::LSTMOptions(net.input, net.hidden).num_layers(net.layers));
        load(lstm, tensors);
        using State = std::tuple<Tensor, Tensor>;
        use(Recurrent<State>([=](const Tensor& x, const State& state) mutable { return lstm->forward(x, state); }),
            State(zero(), zero()));
    } else if (net.cell == "gru") {
        torch::nn::GRU gru(torch::nn::GRUOptions(net.input, net.hidden).num_layers(net.layers));
        load(gru, tensors);
        use(Recurrent<Tensor>([=](const Tensor& x, const Tensor& state) mutable { return gru->forward(x, state); }),
            zero());
    } else {
        torch::nn::RNN rnn(torch::nn::RNNOptions(net.input, net.hidden).num_layers(net.layers));
        load(rnn, tensors);
        use(Recurrent<Tensor>([=](const Tensor& x, const Tensor& state) mutable { return rnn->forward(x, state); }),
            zero());
    }
}

void module_steps(Net& net) {
    const auto tensors = net.tensors();
    const Tensor weight = tensors[tensors.size() - 2], bias = tensors.back();
    with_module(net, 1, [&](auto recurrent, auto state) {
        Tensor x = torch::zeros({1, 1, net.input});
        measure_steps(net, "torch::nn", [&](const float* row) {
            std::copy_n(row, net.input, x.data_ptr<float>());
            auto [h, next] = recurrent(x, state);
            state = next;
            return *at::linear(h, weight, bias).template data_ptr<float>();
        });
    });
}

void cell_steps(Net& net) {
    const auto tensors = net.tensors();
    const Tensor weight = tensors[tensors.size() - 2], bias = tensors.back();
    Tensor x = torch::zeros({1, net.input});
    std::vector<Tensor> h, c;
    for (int64_t layer = 0; layer < net.layers; ++layer) {
        h.push_back(torch::zeros({1, net.hidden}));
        c.push_back(torch::zeros({1, net.hidden}));
    }
    measure_steps(net, "functional cells", [&](const float* row) {
        std::copy_n(row, net.input, x.data_ptr<float>());
        Tensor in = x;
        for (int64_t layer = 0; layer < net.layers; ++layer) {
            const Tensor* w = &tensors[4 * layer];
            if (net.cell == "lstm") {
                std::tie(h[layer], c[layer]) = at::lstm_cell(in, {h[layer], c[layer]}, w[0], w[1], w[2], w[3]);
            } else if (net.cell == "gru") {
                h[layer] = at::gru_cell(in, h[layer], w[0], w[1], w[2], w[3]);
            } else {
                h[layer] = at::rnn_tanh_cell(in, h[layer], w[0], w[1], w[2], w[3]);
            }
            in = h[layer];
        }
        return *at::linear(in, weight, bias).data_ptr<float>();
    });
}

void forward(Net& net) {
    const auto tensors = net.tensors();
    const Tensor weight = tensors[tensors.size() - 2], bias = tensors.back();
    with_module(net, net.batch, [&](auto recurrent, auto zero) {
        const Tensor x = torch::from_blob(net.x.data(), {net.steps, net.batch, net.input});
        auto run = [&] { return at::linear(std::get<0>(recurrent(x, zero)), weight, bias); };
        const Tensor y = run().contiguous();
        const std::vector<float> found(y.data_ptr<float>(), y.data_ptr<float>() + y.numel());
        print(net.cell + "_forward/" + net.size, "torch::nn", largest_error(found, net.y), usual([&] { run(); }), "");
    });
}

/// One step of as many streams as rnnstep's `Streams` has in the same workload, every one with the same x; ns of one.
void streams(Net& net, int64_t count) {
    const auto tensors = net.tensors();
    const Tensor weight = tensors[tensors.size() - 2], bias = tensors.back();
    with_module(net, count, [&](auto recurrent, auto state) {
        double error = 0;
        Tensor x = torch::zeros({1, count, net.input});
        auto step = [&](int64_t t) {
            x.fill_(net.x[t]);
            auto [h, next] = recurrent(x, state);
            state = next;
            return at::linear(h, weight, bias);
        };
        for (int64_t t = 0; t < net.steps; ++t) {
            const Tensor y = step(t).contiguous();
            const std::vector<float> found(y.template data_ptr<float>(), y.template data_ptr<float>() + count);
            error = std::max(error, largest_error(found, std::vector<double>(count, net.y[t])));
        }
        int64_t t = 0;
        const double ns = usual([&] { step(t = t + 1 == net.steps ? 0 : t + 1); });
        const std::string workload = net.cell + "_streams/N" + std::to_string(count) + "_" + net.size;
        print(workload, "torch::nn", error, ns / static_cast<double>(count), "");
    });
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: libtorch FOLDER\n");
        return 2;
    }
    const char* threads = std::getenv("PEERS_THREADS");
    at::set_num_threads(threads == nullptr ? 1 : std::atoi(threads));
    at::set_num_interop_threads(1);
    const c10::InferenceMode inference;
    constexpr int64_t STREAMS = 960;
    for (Net& net : read_nets(argv[1])) {
        if (net.kind == "forward" && wanted(net.cell + "_forward/" + net.size)) {
            forward(net);
        }
        if (net.kind != "step" || at::get_num_threads() > 1) {
            continue;
        }
        if (wanted(net.cell + "_step/" + net.size)) {
            module_steps(net);
            cell_steps(net);
        }
        if (net.cell == "lstm" && net.size == "H32" && wanted("lstm_streams/N960_H32")) {
            streams(net, STREAMS);
        }
    }
}
