//! Dynamic task mapping: how many instances a task has is known only when the run is under way.
//!
//! `each(…)` around an argument of `expand` maps the task over that list. Everything is typed: `each` of the
//! output of a task that returns `Vec<String>` fits a parameter that takes a `String`, and what the mapped task
//! returns is, for those after it, the list of what its instances returned.

use airlock_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// Counts the words of some texts, one instance for each.
#[dag]
pub fn mapping() {
    let texts = list_texts();
    let counts = count_words::expand(each(texts), 2); // 2 is the same for all
    sum(counts);
}

/// Three texts, as if they had been found somewhere.
#[task]
fn list_texts() -> Vec<String> {
    ["to be or not to be", "that is the question", "a"]
        .map(str::to_owned)
        .to_vec()
}

/// Counts the words that have at least so many letters.
#[task]
fn count_words(text: &str, letters: usize) -> usize {
    text.split_whitespace()
        .filter(|word| word.len() >= letters)
        .count()
}

/// Gets the list of all instances' results.
#[task]
fn sum(counts: Vec<usize>) -> usize {
    let sum = counts.iter().sum();
    info!("{sum} words in {} texts", counts.len());
    sum
}

#[derive(Serialize, Deserialize)]
struct Order {
    article: String,
    pieces: u32,
}

/// The other ways to map: combinations, pairs, and objects whose keys are the parameters.
#[dag]
pub fn mapping_more() {
    // One instance for each combination: (apple, 1), (apple, 2), (pear, 1), (pear, 2).
    price::expand(each(["apple", "pear"]), each([1, 2]));
    // Side by side: (apple, 1), (pear, 2).
    price_pair::expand(each(zip(["apple", "pear"], [1, 2])));
    // `expand_kwargs`: one for each object of a list.
    price::expand_kwargs(orders()).id("price_orders");
    // A list without values skips the task.
    price::expand(each(no_articles()), 1).id("price_nothing");
}

#[task]
fn price(article: &str, pieces: u32) -> u32 {
    let price = u32::try_from(article.len()).unwrap_or_default() * pieces;
    info!("{pieces} × {article}: {price}");
    price
}

#[task]
fn price_pair((article, pieces): (String, u32)) -> u32 {
    price::run(&article, pieces)
}

#[task]
fn orders() -> Vec<Order> {
    let order = |article: &str, pieces| Order {
        article: article.to_owned(),
        pieces,
    };
    vec![order("apple", 3), order("pear", 4)]
}

#[task]
fn no_articles() -> Vec<String> {
    Vec::new()
}
