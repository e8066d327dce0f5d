// Counted references.
#include <sluice/ref.hpp>

#include <gtest/gtest.h>

namespace {

using sluice::Ref;
using sluice::RefCounted;

class Counted : public RefCounted {
public:
    explicit Counted(int& drops) : RefCounted(nullptr), drops_(drops) {}
    ~Counted() override = default;

private:
    void unreferenced() noexcept override {
        ++drops_;
        delete this;
    }
    int& drops_;
};

class Derived final : public Counted {
public:
    using Counted::Counted;
};

TEST(Ref, the_last_one_ends_the_object_once) {
    int drops = 0;
    {
        Ref<Derived> first(new Derived(drops));
        Ref<Counted> second = first;
        Ref<Counted> third = std::move(second);
        EXPECT_FALSE(second);  // NOLINT(bugprone-use-after-move): that it is empty is the point.
        first.reset();
        EXPECT_EQ(drops, 0);
        Ref<Counted>& alias = third;
        third = alias;
    }
    EXPECT_EQ(drops, 1);
}

TEST(Ref, leaking_and_adopting_keep_the_count) {
    int drops = 0;
    Ref<Counted> ref(new Counted(drops));
    Counted* raw = ref.leak();
    EXPECT_FALSE(ref);
    EXPECT_EQ(drops, 0);
    Ref<Counted>::adopt(raw).reset();
    EXPECT_EQ(drops, 1);
}

}  // namespace
