// Writes JSON text: objects and arrays are opened and closed, commas and escapes come by themselves. Enough for a report,
// no reader. Knows nothing of benchmarks.
#pragma once

#include <cmath>
#include <concepts>
#include <string>
#include <string_view>

#include <fmt/core.h>

namespace bench {

class JsonWriter {
public:
    JsonWriter& begin_object() { return open('{'); }
    JsonWriter& end_object() { return close('}'); }
    JsonWriter& begin_array() { return open('['); }
    JsonWriter& end_array() { return close(']'); }

    JsonWriter& key(std::string_view name) {
        value(name);
        text_ += ": ";
        after_key_ = true;
        return *this;
    }

    JsonWriter& value(std::string_view text) {
        separate();
        text_ += '"';
        for (const char c : text) {
            if (c == '"' || c == '\\') {
                text_ += '\\';
            }
            if (static_cast<unsigned char>(c) < 0x20) {
                text_ += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
            } else {
                text_ += c;
            }
        }
        text_ += '"';
        return *this;
    }

    JsonWriter& value(const char* text) { return value(std::string_view(text)); }

    JsonWriter& value(std::same_as<bool> auto truth) { return raw(truth ? "true" : "false"); }

    JsonWriter& value(std::integral auto number)
        requires(!std::same_as<decltype(number), bool>)
    {
        return raw(fmt::format("{}", number));
    }

    /// Six significant digits; JSON has no infinities, so those become null.
    JsonWriter& value(double number) {
        return raw(std::isfinite(number) ? fmt::format("{:.6g}", number) : "null");
    }

    template <typename Value>
    JsonWriter& member(std::string_view name, const Value& content) {
        key(name);
        return value(content);
    }

    template <typename Values>
    JsonWriter& list(std::string_view name, const Values& contents) {
        key(name).begin_array();
        for (const auto& content : contents) {
            value(content);
        }
        return end_array();
    }

    const std::string& text() const { return text_; }

private:
    JsonWriter& open(char bracket) {
        separate();
        text_ += bracket;
        first_ = true;
        ++depth_;
        return *this;
    }

    JsonWriter& close(char bracket) {
        --depth_;
        if (!first_) {
            new_line();
        }
        text_ += bracket;
        first_ = false;
        return *this;
    }

    JsonWriter& raw(std::string_view text) {
        separate();
        text_ += text;
        return *this;
    }

    void separate() {
        if (after_key_) {
            after_key_ = false;
            return;
        }
        if (!first_) {
            text_ += ',';
        }
        first_ = false;
        if (depth_ > 0) {
            new_line();
        }
    }

    void new_line() {
        text_ += '\n';
        text_.append(depth_, ' ');
    }

    std::string text_;
    std::size_t depth_ = 0;
    bool first_ = true;
    bool after_key_ = false;
};

}  // namespace bench
