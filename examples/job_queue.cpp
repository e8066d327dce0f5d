// Jobs with limits: a producer puts orders into a bounded queue, workers take them, slow ones are given
// up, and Ctrl-C or the end of the orders shuts everything down in order. Usage: job_queue [orders]
#include <sluice/sluice.hpp>

#include <chrono>
#include <iostream>
#include <string>

using namespace std::chrono_literals;

sluice::Task<> handle(int order) {
    co_await sluice::sleep(order % 10 == 9 ? 10s : 1ms);  // Every tenth hangs.
}

sluice::Task<> worker(sluice::Queue<int>& orders, int& handled, int& given_up) {
    for (;;) {
        const int order = co_await orders.get();  // Throws QueueShutDown after the last one.
        try {
            co_await sluice::timeout(50ms, handle(order));
            ++handled;
        } catch (const sluice::TimeoutError&) {
            ++given_up;
        }
    }
}

sluice::Task<> work(sluice::Queue<int>& orders, int& handled, int& given_up) {
    try {
        co_await worker(orders, handled, given_up);
    } catch (const sluice::QueueShutDown&) {
        // That is how a worker's day ends.
    }
}

sluice::Task<> day(int count) {
    int handled = 0;
    int given_up = 0;
    sluice::Queue<int> orders(4);
    sluice::TaskGroup workers;  // Declared last: the workers refer to what stands above.
    for (int i = 0; i < 3; ++i) {
        workers.create_task(work(orders, handled, given_up));
    }
    for (int order = 0; order < count; ++order) {
        co_await orders.put(order);  // Waits while four are waiting already.
    }
    orders.shutdown();
    co_await workers.wait();
    std::cout << handled << " handled, " << given_up << " given up\n";
}

int main(int argc, char** argv) {
    try {
        sluice::run(day(argc > 1 ? std::stoi(argv[1]) : 100));
    } catch (const sluice::Interrupted& interrupted) {
        std::cerr << interrupted.what() << '\n';
        return interrupted.exit_status();
    }
}
