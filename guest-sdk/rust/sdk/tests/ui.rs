//! What an author's slip looks like: each compile error stands at the author's own line and says what to do.

#[test]
fn mistakes_are_answered_at_the_authors_line() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
