// The things that are raced, each by a function that plays one seed: it starts actors at it, knows the
// events that complete them, and checks what must hold for this thing. A problem stays with the race.
#pragma once

#include "races/race.hpp"

#include <vector>

namespace sluice::test {

struct Contest {
    const char* name;
    void (*play)(Race&);
};

void race_queue(Race& race);
void race_lock(Race& race);
void race_semaphore(Race& race);
void race_event(Race& race);
void race_condition(Race& race);

void race_sleep(Race& race);
void race_future(Race& race);
void race_task_handle(Race& race);
void race_families(Race& race);
void race_wait(Race& race);
void race_as_completed(Race& race);
void race_jobs(Race& race);

void race_stream_reader(Race& race);
void race_drain(Race& race);
void race_connect(Race& race);
void race_sock_recv(Race& race);
void race_sock_accept(Race& race);

/// All of them.
const std::vector<Contest>& contests();

}  // namespace sluice::test
