// Ready: something to run in the next iteration's ready phase, embedded in its owner, so that
// scheduling cannot fail.
#pragma once

#include <sluice/detail/intrusive_list.hpp>

namespace sluice::inline v0_1::detail {

class Ready : public ListNode<Ready> {
public:
    /// Runs once; the node is unlinked before. Destroying or unlinking it earlier cancels it.
    virtual void on_ready_phase() noexcept = 0;
    /// The loop is closed and will not run it; the node is unlinked.
    virtual void on_loop_closed() noexcept {}

protected:
    ~Ready() = default;
};

}  // namespace sluice::inline v0_1::detail
