// ReaderTest: the frame of the cases about a StreamReader that is fed by hand.
#pragma once

#include <sluice/streams.hpp>

#include "support/loop_fixture.hpp"

#include <string_view>
#include <utility>

namespace sluice::test {

class ReaderTest : public BackendTest {
protected:
    StreamReader& limited(std::size_t limit) {
        reader_ = StreamReader(limit);
        return reader_;
    }
    /// Starts a read and lets it come to its awaiting point.
    template <class Awaiter>
    auto start(Awaiter awaiter) {
        auto handle = loop().create_task(as_task(std::move(awaiter)));
        run_idle();
        return handle;
    }
    template <class Awaiter>
    auto read(Awaiter awaiter) {
        return run(as_task(std::move(awaiter)));
    }
    void feed(std::string_view text) { reader_.feed_data(text); }
    void feed_all(std::string_view text) {
        feed(text);
        reader_.feed_eof();
    }

    StreamReader reader_;
};

}  // namespace sluice::test
