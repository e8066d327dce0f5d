// Columns of text, aligned: the first to the left, all others to the right. Knows nothing of benchmarks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace bench {

class TextTable {
public:
    explicit TextTable(std::vector<std::string> header) : rows_{std::move(header)} {}

    void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

    /// A line that is not divided into columns.
    void add_line(std::string text) { rows_.push_back({std::move(text)}); }

    std::string text() const {
        const std::vector<std::size_t> widths = column_widths();
        std::string result;
        for (const auto& row : rows_) {
            std::string line = row.front();
            for (std::size_t i = 1; i < row.size(); ++i) {
                const std::size_t end = line_end(widths, i);
                line.resize(std::max(line.size(), end - std::min(end, row[i].size())), ' ');
                line += row[i];
            }
            result += line + '\n';
        }
        return result;
    }

private:
    static constexpr std::size_t gap = 2;

    static std::size_t line_end(const std::vector<std::size_t>& widths, std::size_t column) {
        std::size_t end = widths[0];
        for (std::size_t i = 1; i <= column; ++i) {
            end += gap + widths[i];
        }
        return end;
    }

    std::vector<std::size_t> column_widths() const {
        std::vector<std::size_t> widths(rows_.front().size());
        for (const auto& row : rows_) {
            for (std::size_t i = 0; row.size() > 1 && i < row.size(); ++i) {
                widths[i] = std::max(widths[i], row[i].size());
            }
        }
        return widths;
    }

    std::vector<std::vector<std::string>> rows_;
};

}  // namespace bench
