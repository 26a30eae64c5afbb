//! Params: what whoever triggers a run may set. Each has a default or has to be given, and may have a JSON
//! Schema, which is checked before there is a run.

use airlock_sdk::prelude::*;

/// Greets some people. Try it with `--conf '{"times": 3}'`, and with `--conf '{"times": 30}'`.
#[dag(params(
    name(
        default = "Ada",
        schema = r#"{"type": "string", "minLength": 1}"#,
        description = "Who is greeted"
    ),
    times(
        default = 1,
        schema = r#"{"type": "integer", "minimum": 1, "maximum": 10}"#,
        description = "How often"
    ),
    loud = false
))]
pub fn params() {
    greet();
}

#[task]
fn greet(ctx: &Context) -> Result<u32> {
    let (name, times): (String, u32) = (ctx.param("name")?, ctx.param("times")?);
    for _ in 0..times {
        match ctx.param("loud")? {
            true => info!("HELLO {name}!"),
            false => info!("hello {name}"),
        }
    }
    Ok(times)
}
