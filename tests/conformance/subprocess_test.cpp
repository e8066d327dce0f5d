// Subprocesses: streams, ends, what a program inherits, and that none is left over.
#include "support/loop_fixture.hpp"
#include "support/pipe_end.hpp"

#include <array>
#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace sluice::test {
namespace {

/// What one program's protocol was told; outlives it.
struct Told {
    std::string trace;
    std::array<std::string, 3> data;
    SubprocessTransport* transport = nullptr;
    std::function<void()> on_made;
    bool exited = false;
    bool lost = false;
};

class RecordingProgram : public SubprocessProtocol {
public:
    explicit RecordingProgram(Told* told) : told_(*told) {}
    void connection_made(SubprocessTransport& transport) override {
        told_.trace += "M";
        told_.transport = &transport;
        if (told_.on_made) {
            told_.on_made();
        }
    }
    void pipe_data_received(int fd, Bytes data) override {
        told_.data.at(static_cast<std::size_t>(fd)) += as_text(data);
    }
    void pipe_connection_lost(int fd, std::error_code reason) override {
        told_.trace += " C" + std::to_string(fd) + (reason ? "!" : "");
    }
    void process_exited() override {
        told_.exited = true;
        told_.trace += " X";
    }
    void pause_writing() override { told_.trace += " P"; }
    void resume_writing() override { told_.trace += " R"; }
    void connection_lost(std::error_code reason) override {
        told_.lost = true;
        told_.trace += reason ? " L!" : " L";
    }

private:
    Told& told_;
};

class SubprocessTest : public BackendTest {
protected:
    using Words = std::vector<std::string>;

    Ref<SubprocessTransport> start(Words command, SubprocessOptions options = {}) {
        return loop()
            .run_until_complete(loop().subprocess_exec<RecordingProgram>(
                std::move(options), std::move(command), &told_))
            .transport;
    }
    Ref<SubprocessTransport> shell(std::string line, SubprocessOptions options = {}) {
        return loop()
            .run_until_complete(loop().subprocess_shell<RecordingProgram>(std::move(options),
                                                                          std::move(line), &told_))
            .transport;
    }
    void run_until_lost() {
        ASSERT_TRUE(run_until([this] { return told_.lost; })) << told_.trace;
    }
    /// Ends its input and waits for its end; what it wrote to its output.
    std::string finish(const Ref<SubprocessTransport>& process) {
        if (const Ref<Transport> input = process->get_pipe_transport(0)) {
            input->write_eof();
        }
        run_until_lost();
        return told_.data[1];
    }
    /// This process has no child, running or unwaited for.
    static bool no_child_is_left() {
        return ::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD;
    }
    void TearDown() override {
        BackendTest::TearDown();
        EXPECT_TRUE(no_child_is_left());
    }

    Told told_;
};
INSTANTIATE_TEST_SUITE_P(Every, SubprocessTest, testing::ValuesIn(backends()), backend_case_name);

TEST_P(SubprocessTest, what_is_written_to_its_input_comes_out_and_its_end_is_told_last) {
    const auto process = start({"cat"});
    EXPECT_EQ(told_.trace, "M");
    EXPECT_GT(process->get_pid(), 0);
    EXPECT_EQ(process->get_returncode(), std::nullopt);
    process->get_pipe_transport(0)->write("abc");
    ASSERT_TRUE(run_until([&] { return told_.data[1] == "abc"; }));
    EXPECT_EQ(finish(process), "abc");
    EXPECT_EQ(process->get_returncode(), 0);
    for (const char* event : {" C0", " C1", " C2", " X"}) {
        EXPECT_NE(told_.trace.find(event), std::string::npos) << told_.trace;
    }
    EXPECT_TRUE(told_.trace.ends_with(" L")) << told_.trace;
}

TEST_P(SubprocessTest, a_megabyte_goes_through_under_flow_control) {
    const auto process = start({"cat"});
    const std::string sent = pattern(1'000'000);
    process->get_pipe_transport(0)->write(sent);
    EXPECT_TRUE(finish(process) == sent);
    EXPECT_NE(told_.trace.find(" P"), std::string::npos);
    EXPECT_NE(told_.trace.find(" R"), std::string::npos);
}

TEST_P(SubprocessTest, exit_statuses_and_signals_are_told_apart) {
    const auto process = shell("exit 7");
    static_cast<void>(finish(process));
    EXPECT_EQ(process->get_returncode(), 7);
    for (const int signal_number : {SIGTERM, SIGKILL, SIGINT}) {
        told_ = Told();
        const auto victim = start({"cat"});
        if (signal_number == SIGTERM) {
            victim->terminate();
        } else if (signal_number == SIGKILL) {
            victim->kill();
        } else {
            victim->send_signal(signal_number);
        }
        run_until_lost();
        EXPECT_EQ(victim->get_returncode(), -signal_number);
        const auto error = caught<std::system_error>([&] { victim->kill(); });
        ASSERT_TRUE(error);
        EXPECT_EQ(error->code(), std::errc::no_such_process);
    }
}

TEST_P(SubprocessTest, output_and_error_output_are_apart_or_together) {
    static_cast<void>(finish(shell("echo out; echo err >&2")));
    EXPECT_EQ(told_.data[1], "out\n");
    EXPECT_EQ(told_.data[2], "err\n");
    told_ = Told();
    SubprocessOptions together;
    together.error_output(StandardStream::output);
    const auto process = shell("echo out; echo err >&2", std::move(together));
    EXPECT_FALSE(process->get_pipe_transport(2));
    EXPECT_EQ(finish(process), "out\nerr\n");
    EXPECT_THROW(SubprocessOptions().input(StandardStream::output), std::invalid_argument);
}

TEST_P(SubprocessTest, null_streams_and_descriptors_take_the_place_of_pipes) {
    const auto [reading, writing] = make_pipe();
    PipeEnd out(reading);
    SubprocessOptions options;
    options.input(StandardStream::null).output(Descriptor(writing));
    options.error_output(StandardStream::null);
    const auto process = shell("cat; echo done; echo lost >&2", std::move(options));
    for (const int fd : {-1, 0, 1, 2, 3}) {
        EXPECT_FALSE(process->get_pipe_transport(fd));
    }
    EXPECT_FALSE(descriptor_is_open(writing));
    run_until_lost();
    EXPECT_EQ(told_.trace, "M X L");
    out.read_available();
    EXPECT_EQ(out.received(), "done\n");
    EXPECT_TRUE(out.saw_end());
}

TEST_P(SubprocessTest, environment_and_working_directory_are_what_was_asked_for) {
    SubprocessOptions options;
    options.environment({"COLOUR=green"}).working_directory("/usr");
    EXPECT_EQ(finish(shell("echo $COLOUR $HOME; pwd", std::move(options))), "green\n/usr\n");
}

TEST_P(SubprocessTest, it_inherits_no_other_descriptor) {
    const int careless = ::open("/dev/null", O_RDONLY);
    const std::string listed = finish(shell("ls /proc/self/fd"));
    ::close(careless);
    EXPECT_EQ(listed, "0\n1\n2\n3\n") << "3 is the folder that ls reads";
}

TEST_P(SubprocessTest, its_pipes_are_blocking_as_programs_expect) {
    // octal 04000 is O_NONBLOCK.
    const std::string flags =
        finish(shell("for i in 0 1 2; do grep flags /proc/self/fdinfo/$i; done"));
    EXPECT_EQ(std::count(flags.begin(), flags.end(), '\n'), 3) << flags;
    for (std::size_t at = flags.find('\t'); at != std::string::npos;
         at = flags.find('\t', at + 1)) {
        EXPECT_EQ(std::stol(flags.substr(at + 1), nullptr, 8) & O_NONBLOCK, 0) << flags;
    }
}

TEST_P(SubprocessTest, it_starts_with_default_actions_and_nothing_blocked) {
    const auto before = ::signal(SIGPIPE, SIG_IGN);
    sigset_t blocked;
    sigset_t mask_before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &blocked, &mask_before);
    const auto process = shell("kill -PIPE $$; echo survived");
    EXPECT_EQ(finish(process), "");
    EXPECT_EQ(process->get_returncode(), -SIGPIPE);
    told_ = Told();
    const auto other = start({"cat"});
    other->terminate();
    run_until_lost();
    EXPECT_EQ(other->get_returncode(), -SIGTERM);
    ::pthread_sigmask(SIG_SETMASK, &mask_before, nullptr);
    ::signal(SIGPIPE, before);
}

// ---- what goes wrong ----

TEST_P(SubprocessTest, a_program_that_cannot_be_started_is_named_and_leaves_nothing) {
    const auto error = caught<std::system_error>([&] { start({"/no/such/program", "x"}); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::no_such_file_or_directory);
    EXPECT_NE(std::string(error->what()).find("/no/such/program"), std::string::npos);
    EXPECT_EQ(caught<std::system_error>([&] { start({"/dev/null"}); })->code(),
              std::errc::permission_denied);
    SubprocessOptions nowhere;
    nowhere.working_directory("/no/such/folder");
    EXPECT_THROW(start({"cat"}, std::move(nowhere)), std::system_error);
    EXPECT_EQ(told_.trace, "");
    EXPECT_TRUE(no_child_is_left());
}

TEST_P(SubprocessTest, wrong_arguments_are_refused_at_once) {
    const auto refused = [&](Words command) {
        EXPECT_THROW(
            static_cast<void>(loop().subprocess_exec<RecordingProgram>({}, command, &told_)),
            std::invalid_argument);
    };
    refused({});
    refused({""});
    const std::string null("a\0b", 3);
    refused({"cat", null});
    for (const bool in_folder : {false, true}) {
        SubprocessOptions options;
        if (in_folder) {
            options.working_directory(null);
        } else {
            options.environment({null + "=1"});
        }
        EXPECT_THROW(static_cast<void>(loop().subprocess_exec<RecordingProgram>(
                         std::move(options), Words{"cat"}, &told_)),
                     std::invalid_argument);
    }
    loop().close();
    EXPECT_THROW(
        static_cast<void>(loop().subprocess_exec<RecordingProgram>({}, Words{"cat"}, &told_)),
        std::logic_error);
}

TEST_P(SubprocessTest, an_exception_out_of_pipe_data_received_ends_that_pipe_only) {
    class Picky : public RecordingProgram {
    public:
        using RecordingProgram::RecordingProgram;
        void pipe_data_received(int fd, Bytes data) override {
            if (fd == 1) {
                throw std::runtime_error("not that");
            }
            RecordingProgram::pipe_data_received(fd, data);
        }
    };
    const auto process = loop()
                             .run_until_complete(loop().subprocess_shell<Picky>(
                                 {}, "echo out; echo err >&2; cat > /dev/null", &told_))
                             .transport;
    ASSERT_TRUE(run_until([&] { return told_.data[2] == "err\n"; }));
    ASSERT_TRUE(run_until([&] { return told_.trace.find("C1!") != std::string::npos; }));
    static_cast<void>(finish(process));
    EXPECT_EQ(take_reports().size(), 1U);
}

TEST_P(SubprocessTest, writing_to_a_program_that_has_ended_is_a_broken_pipe_and_no_signal) {
    const auto process = shell("exit 0");
    ASSERT_TRUE(run_until([&] { return told_.exited; }));
    process->get_pipe_transport(0)->write("too late");
    run_until_lost();
    EXPECT_EQ(process->get_returncode(), 0);
}

// ---- ending ----

TEST_P(SubprocessTest, close_kills_and_connection_lost_follows) {
    const auto process = start({"cat"});
    process->get_pipe_transport(0)->write(std::string(1'000'000, 'x'));
    process->close();
    process->close();
    EXPECT_TRUE(process->is_closing());
    EXPECT_FALSE(told_.lost);
    run_until_lost();
    EXPECT_EQ(process->get_returncode(), -SIGKILL);
    process->close();
    EXPECT_FALSE(process->get_pipe_transport(0)) << "lost";
}

TEST_P(SubprocessTest, connection_lost_waits_for_output_that_others_still_write) {
    // The shell ends; what it leaves behind holds the output open and writes when it is told to.
    const auto process = shell("exec 3<&0; (read line <&3; echo $line) & exit 3");
    ASSERT_TRUE(run_until([&] { return told_.exited; }));
    EXPECT_EQ(process->get_returncode(), 3);
    run_idle();
    ASSERT_FALSE(told_.lost);
    process->get_pipe_transport(0)->write("late\n");
    run_until_lost();
    EXPECT_EQ(told_.data[1], "late\n");
}

TEST_P(SubprocessTest, a_loop_that_is_destroyed_kills_without_a_word_and_waits) {
    const Ref<SubprocessTransport> process = start({"cat"});
    destroy_loop();
    EXPECT_EQ(told_.trace, "M");
    EXPECT_TRUE(no_child_is_left());
    EXPECT_EQ(process->get_returncode(), -SIGKILL);
    EXPECT_THROW(process->kill(), std::system_error);
    process->close();
}

TEST_P(SubprocessTest, cancelling_while_it_starts_kills_it) {
    auto task =
        loop().create_task(loop().subprocess_exec<RecordingProgram>({}, Words{"cat"}, &told_));
    loop().run_once();
    task.cancel();
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    EXPECT_TRUE(task.cancelled());
    run_until_lost();
}

TEST_P(SubprocessTest, other_children_are_left_to_whoever_started_them) {
    const pid_t other = ::fork();
    if (other == 0) {
        ::_exit(42);
    }
    static_cast<void>(finish(start({"cat"})));
    int status = 0;
    EXPECT_EQ(::waitpid(other, &status, 0), other);
    EXPECT_EQ(WEXITSTATUS(status), 42);
}

TEST_P(SubprocessTest, an_end_that_somebody_else_was_told_of_is_unknown) {
    const auto process = start({"cat"});
    process->kill();
    int status = 0;
    ASSERT_EQ(::waitpid(process->get_pid(), &status, 0), process->get_pid());
    run_until_lost();
    EXPECT_EQ(process->get_returncode(), 255);
}

TEST_P(SubprocessTest, many_at_once_end_each_with_its_own_status) {
    std::vector<std::unique_ptr<Told>> told;
    std::vector<Ref<SubprocessTransport>> processes;
    for (int i = 0; i < 20; ++i) {
        told.push_back(std::make_unique<Told>());
        processes.push_back(loop()
                                .run_until_complete(loop().subprocess_shell<RecordingProgram>(
                                    {}, "exit " + std::to_string(i), told.back().get()))
                                .transport);
    }
    for (int i = 0; i < 20; ++i) {
        const auto index = static_cast<std::size_t>(i);
        ASSERT_TRUE(run_until([&] { return told[index]->lost; }));
        EXPECT_EQ(processes[index]->get_returncode(), i);
    }
}

}  // namespace
}  // namespace sluice::test
