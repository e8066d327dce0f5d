// What is built on tasks: groups, deadlines, synchronisation, jobs, the life of a program.
#include <sluice/impl/child_tasks.ipp>
#include <sluice/impl/exception_group.ipp>
#include <sluice/impl/gather.ipp>
#include <sluice/impl/job_scheduler.ipp>
#include <sluice/impl/queue.ipp>
#include <sluice/impl/run.ipp>
#include <sluice/impl/running_loop.ipp>
#include <sluice/impl/sync.ipp>
#include <sluice/impl/task_group.ipp>
#include <sluice/impl/timeout.ipp>
#include <sluice/impl/wait.ipp>
#include <sluice/impl/waiting_line.ipp>
