// The schedule of a race and its standing checks.
#include "races/race.hpp"

namespace sluice::test {

using namespace std::chrono_literals;

namespace {

// Each is more than any race needs; less than for ever.
constexpr int settling_iterations = 60;
constexpr int catching_up_iterations = 10'000;

Task<> perform(std::function<void()> action) {
    action();
    co_return;
}

}  // namespace

Race::Race(std::uint64_t seed)
    : random_(seed), kernel_(seed), loop_(std::make_unique<EventLoop>()) {
    loop_->set_exception_handler([this](const ExceptionContext&) { ++reports_; });
}

Race::~Race() {
    // Ahead of the actors, whose tasks it would otherwise know no more.
    actors_.clear();
    loop_.reset();
}

Task<> Race::act(Actor& actor, std::size_t body) {
    const Alive alive(actor.frames);
    try {
        Task<> acting = bodies_[body](actor);
        co_await acting;
        actor.end(Actor::Ending::result);
    } catch (const Cancelled&) {
        actor.end(Actor::Ending::cancelled);
        throw;
    } catch (const TimeoutError&) {
        actor.end(Actor::Ending::timed_out);
    } catch (const std::exception&) {
        actor.end(Actor::Ending::refused);
    }
}

Actor& Race::start(std::function<Task<>(Actor&)> body) {
    Actor& actor = actors_.emplace_back();
    bodies_.push_back(std::move(body));
    loop_->call_soon([this, &actor, index = bodies_.size() - 1] {
        if (actor.owner != nullptr) {
            actor.handle = actor.owner->create_task(act(actor, index));
        }
    });
    return actor;
}

void Race::soon(std::function<void()> action) {
    const auto counted = [this, action = std::move(action)] {
        --put_off_;
        action();
    };
    ++put_off_;
    switch (below(4)) {
        case 0:
            loop_->call_soon(counted);
            break;
        case 1:
            loop_->call_later(moment(), counted);
            break;
        case 2:
            loop_->create_task(perform(counted));
            break;
        default:
            counted();
    }
}

Actor* Race::one_of_them() noexcept {
    const int count = pending();
    if (count == 0) {
        return nullptr;
    }
    int chosen = below(count);
    for (Actor& actor : actors_) {
        if (actor.pending() && chosen-- == 0) {
            return &actor;
        }
    }
    return nullptr;
}

void Race::cancel_one() noexcept {
    if (Actor* const actor = one_of_them()) {
        const bool accepted = actor->handle.cancel();
        actor->cancel_accepted = actor->cancel_accepted || accepted;
    }
}

void Race::destroy_one() noexcept {
    if (Actor* const actor = one_of_them()) {
        actor->owner.reset();
        if (actor->frames != 0) {
            problem_ = problem_.empty() ? "a destroyed actor is alive" : problem_;
        }
    }
}

void Race::run(int rounds, const std::function<void()>& event) {
    for (int round = 0; round < rounds; ++round) {
        if (chance(600)) {
            soon(event);
        }
        if (chance(200)) {
            soon([this] { cancel_one(); });
        }
        if (chance(80)) {
            soon([this] { destroy_one(); });
        }
        loop_->run_once(chance(700) ? Duration::zero() : moment());
    }
    catch_up();
}

void Race::catch_up() {
    for (int count = 0; put_off_ > 0; ++count) {
        if (count == catching_up_iterations) {
            check(false, "the loop does not come to what was put off");
            return;
        }
        loop_->run_once(1ms);
    }
    settle();
}

void Race::settle() {
    for (int count = 0; count < settling_iterations; ++count) {
        loop_->run_once(Duration::zero());
    }
    check(loop_->next_timeout() != Duration::zero() || pending() > 0, "the loop does not settle");
}

void Race::check(bool holds, const std::string& what) {
    if (!holds && problem_.empty()) {
        problem_ = what;
    }
}

void Race::check(const Actor& actor) {
    check(actor.frames == 0, "a task is alive at the end");
    check(actor.endings <= 1, "a task was resumed twice");
    if (actor.owner == nullptr) {
        return;
    }
    check(actor.handle.done(), "a task does not end although it was cancelled");
    if (actor.cancel_accepted) {
        check(actor.ending != Actor::Ending::result, "a cancelled task got a result");
        check(actor.handle.cancelled(), "a cancellation was accepted and not delivered");
    } else {
        check(actor.ending != Actor::Ending::none, "a task has ended without having run");
    }
}

void Race::finish() {
    catch_up();
    for (Actor& actor : actors_) {
        if (actor.pending()) {
            actor.cancel_accepted = actor.handle.cancel() || actor.cancel_accepted;
        }
    }
    settle();
    // Some take their time to clean up.
    for (int count = 0; count < settling_iterations && pending() > 0; ++count) {
        loop_->run_once(1ms);
    }
    settle();
    for (const Actor& actor : actors_) {
        check(actor);
    }
    check(loop_->next_timeout() == std::nullopt, "a timer is left");
    check(kernel_.violations().empty(), "a system call was misused");
    actors_.clear();
    loop_->close();
}

}  // namespace sluice::test
