use super::*;

#[test]
fn a_default_of_a_param_becomes_json() {
    let expr = |text| json(&syn::parse_str::<Expr>(text).unwrap());
    assert_eq!(expr(r#""a\"b\n""#).unwrap(), r#""a\"b\u000a""#);
    assert_eq!(expr("[1, -2.5, true]").unwrap(), "[1,-2.5,true]");
    assert_eq!(expr("1_000").unwrap(), "1000");
    assert!(expr("some_function()").is_err());
}

#[test]
fn a_misspelt_key_is_answered_with_the_right_one() {
    let entry = entries(quote!(retrys = 2)).unwrap().remove(0);
    let error = entry.unknown("a task", &["retries", "pool"]).to_string();
    assert_eq!(
        error,
        "`retrys` is no attribute of a task; did you mean `retries`?"
    );
}

#[test]
fn a_key_that_is_given_twice_is_an_error() {
    let error = entries(quote!(pool = "a", pool = "b")).err().unwrap();
    assert_eq!(error.to_string(), "`pool` is given twice; keep one");
}
