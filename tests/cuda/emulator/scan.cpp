#include "scan.h"

#include <ctype.h>
#include <stdlib.h>

#include <algorithm>

namespace emulator {
namespace {

struct Token {
    std::string text;
    size_t file;  // index into files
    int line;
};

bool is_word(char c) { return isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Words, numbers, strings and single characters, each with the place that the preprocessor's line marks give it.
class Lexer {
  public:
    explicit Lexer(const std::string& text) : text_(text) {}

    std::vector<Token> tokens() {
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (c == '\n') {
                ++line_;
                ++at_;
                line_start_ = true;
            } else if (isspace(static_cast<unsigned char>(c))) {
                ++at_;
            } else if (c == '#' && line_start_) {
                mark();
            } else {
                line_start_ = false;
                take(c == '"' || c == '\'' ? quoted_end(at_) : is_word(c) ? word_end() : at_ + 1);
            }
        }
        return std::move(tokens_);
    }

    const std::vector<std::string>& files() const { return files_; }

  private:
    // `# 12 "lstm.cu" 2` or `#line 12 "lstm.cu"`: the next line is line 12. Anything else is a pragma.
    void mark() {
        const size_t end = std::min(text_.find('\n', at_), text_.size());
        const std::string line = text_.substr(at_ + 1, end - at_ - 1);
        at_ = end;
        size_t digits = line.find_first_not_of(" \t");
        if (digits != std::string::npos && line.compare(digits, 4, "line") == 0) {
            digits = line.find_first_not_of(" \t", digits + 4);
        }
        if (digits == std::string::npos || !isdigit(static_cast<unsigned char>(line[digits]))) return;
        line_ = atoi(line.c_str() + digits) - 1;
        const size_t open = line.find('"', digits), close = line.rfind('"');
        if (open != std::string::npos && close > open) files_.push_back(line.substr(open + 1, close - open - 1));
    }

    size_t quoted_end(size_t at) const {
        const char quote = text_[at++];
        while (at < text_.size() && text_[at] != quote) at += text_[at] == '\\' ? 2 : 1;
        return std::min(at + 1, text_.size());
    }

    size_t word_end() const {
        size_t end = at_;
        while (end < text_.size() && is_word(text_[end])) ++end;
        return end;
    }

    void take(size_t end) {
        tokens_.push_back({text_.substr(at_, end - at_), files_.size() - 1, line_});
        at_ = end;
    }

    const std::string& text_;
    size_t at_ = 0;
    int line_ = 1;
    bool line_start_ = true;
    std::vector<std::string> files_{""};
    std::vector<Token> tokens_;
};

// The index after the bracket that closes the one at `open`.
size_t closed(const std::vector<Token>& tokens, size_t open) {
    int depth = 0;
    for (size_t i = open; i < tokens.size(); ++i) {
        const std::string& text = tokens[i].text;
        if (text == "(" || text == "{" || text == "[") ++depth;
        if ((text == ")" || text == "}" || text == "]") && --depth == 0) return i + 1;
    }
    return tokens.size();
}

// The first of several arguments in brackets.
std::string first_argument(const std::vector<Token>& tokens, size_t open) {
    std::string text;
    const auto add = [&](const std::string& token) {
        const bool words = !text.empty() && is_word(text.back()) && is_word(token.front());
        text += (words ? " " : "") + token; // `::` is two tokens, which belong together
    };
    for (size_t i = open + 1, end = closed(tokens, open) - 1; i < end; ++i) {
        if (tokens[i].text == ",") break;
        if (tokens[i].text == "(") {
            for (const size_t inner = closed(tokens, i); i < inner - 1; ++i) add(tokens[i].text);
        }
        add(tokens[i].text);
    }
    return text;
}

}  // namespace

std::vector<FoundKernel> find_kernels(const std::string& text, std::vector<std::string>& nameless) {
    Lexer lexer(text);
    const std::vector<Token> tokens = lexer.tokens();
    auto is = [&](size_t i, const char* word) { return i < tokens.size() && tokens[i].text == word; };
    std::vector<FoundKernel> kernels;
    for (size_t i = 0; i < tokens.size(); ++i) {
        if (!is(i, "__global__")) continue;
        const bool named = i >= 2 && is(i - 1, "\"C\"") && is(i - 2, "extern");
        FoundKernel kernel{"", "0", "", 0, 0};
        // Up to the name, which is the word before the parameters; attributes have brackets of their own.
        size_t next = i + 1;
        while (next < tokens.size() && !is(next + 1, "(")) ++next;
        while (is(next, "__launch_bounds__") || is(next, "__attribute__") || is(next, "__align__")) {
            if (is(next, "__launch_bounds__")) kernel.max_threads = first_argument(tokens, next + 1);
            next = closed(tokens, next + 1);
            while (next < tokens.size() && !is(next + 1, "(")) ++next;
        }
        if (next + 1 >= tokens.size()) break;
        const size_t body = closed(tokens, next + 1);
        if (!is(body, "{")) continue;  // a declaration
        kernel.name = tokens[next].text;
        if (!named) {
            nameless.push_back(kernel.name);
            continue;
        }
        kernel.file = lexer.files()[tokens[next].file];
        kernel.first_line = tokens[next].line;
        kernel.last_line = tokens[closed(tokens, body) - 1].line;
        kernels.push_back(kernel);
    }
    return kernels;
}

std::string kernel_list(const std::vector<FoundKernel>& kernels, const std::string& program) {
    std::string list = "\n# 1 \"the list of kernels of " + program + "\"\n";
    list += "namespace emulator {\nstatic const Kernel kernels[] = {\n";
    for (const FoundKernel& kernel : kernels) {
        const std::string entry = "Entry<&::" + kernel.name + ">";
        list += "    {\"" + kernel.name + "\", &" + entry + "::run, " + entry + "::args_size, " + kernel.max_threads +
                ", hash(\"" + kernel.file + "\"), " + std::to_string(kernel.first_line) + ", " +
                std::to_string(kernel.last_line) + "},\n";
    }
    if (kernels.empty()) list += "    {}\n";
    return list + "};\n}  // namespace emulator\n" +
           "extern \"C\" __attribute__((visibility(\"default\"), used)) const emulator::Exports emulator_image{\n"
           "    emulator::INTERFACE, &emulator::machine, &emulator::shared_arrays, emulator::kernels, " +
           std::to_string(kernels.size()) + "};\n";
}

}  // namespace emulator
