//! Floods of words, and words that are too long to cross the border.

use crate::ask;

pub(crate) fn attack(which: &str) -> String {
    match which {
        "log" => {
            for number in 0..20_000 {
                ask::say("flood", &format!("flooded line {number}"));
            }
            "flooded".to_owned()
        }
        "print" => {
            for number in 0..20_000 {
                println!("flooded line {number}");
            }
            "flooded".to_owned()
        }
        "target" => {
            ask::say(&"t".repeat(9 << 20), "short");
            "said".to_owned()
        }
        "message" => {
            ask::say("flood", &"m".repeat(9 << 20));
            "said".to_owned()
        }
        "key" => ask::variable(&"k".repeat(9 << 20)),
        // What the border lets through, and no name can be.
        "long_key" => ask::variable(&"k".repeat(1 << 20)),
        "id" => ask::connection(&"i".repeat(9 << 20)),
        "address" => ask::pull(&"d".repeat(9 << 20), "run", "task"),
        "answer" => "a".repeat(9 << 20),
        "denials" => {
            let all = (0..10_000).map(|number| ask::variable(&format!("guess{number}")));
            let denied = all.filter(|answer| answer.starts_with("denied")).count();
            format!("{denied} denied")
        }
        other => format!("there is no flood `{other}`"),
    }
}
