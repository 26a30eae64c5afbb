//! What a long history changes: nothing, if all is well.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use airlock_tests::Host;

use super::{RAISED, chain_lines, chain_steps, noop, rate_line, wide_rates};
use crate::figure::{Report, Samples, disk_sync, ms};

/// Finished task instances when the first figures are taken, and when the last are.
const FEW: usize = 10_000;
const MANY: usize = 1_000_000;

/// Steps of a chain, tasks side by side, and the CPU that the host spent on these, with ten thousand finished
/// task instances in the database and with a million.
pub(crate) async fn history(report: &mut Report) {
    let host = Host::start(&format!("{RAISED}{}", noop()));
    wide_rates(&host, FEW / 1000).await;
    let sync = disk_sync(&host.home);
    let before = Costs::of(&host).await;
    before.lines(report, "with 10,000", &sync);
    let began = Instant::now();
    for _ in 0..10 {
        wide_rates(&host, (MANY - FEW) / 10_000).await;
    }
    report.line(
        "task instances in between",
        format!("{} in {:.0} s", MANY - FEW, began.elapsed().as_secs_f64()),
    );
    let sync = disk_sync(&host.home);
    let after = Costs::of(&host).await;
    after.lines(report, "with 1,000,000", &sync);
    let ratio = |before: f64, after: f64| format!("{:.2}", after / before);
    let steps = |costs: &Costs| costs.steps.median().as_secs_f64();
    report.line(
        "a step: times the median before",
        ratio(steps(&before), steps(&after)),
    );
    report.line(
        "side by side: times as long as before",
        ratio(after.rate(), before.rate()),
    );
    report.line(
        "CPU for a task: times that before",
        ratio(before.cpu.as_secs_f64(), after.cpu.as_secs_f64()),
    );
    let home = host.home.clone();
    let mut samples = Samples::default();
    start_again(host, &home, &mut samples);
    report.line("ready with that database", &samples);
}

struct Costs {
    steps: Samples,
    rates: Vec<f64>,
    /// Of the host's process, for one of the tasks side by side.
    cpu: Duration,
}

impl Costs {
    async fn of(host: &Host) -> Self {
        const RUNS: u32 = 20;
        let steps = chain_steps(host, 20).await;
        let before = super::cpu(host);
        let rates = wide_rates(host, RUNS as usize).await;
        let cpu = (super::cpu(host) - before) / (RUNS * 1000);
        Self { steps, rates, cpu }
    }

    fn rate(&self) -> f64 {
        self.rates[self.rates.len() / 2]
    }

    fn lines(&self, report: &mut Report, when: &str, sync: &Samples) {
        chain_lines(report, when, &self.steps, sync);
        rate_line(report, &format!("{when}: tasks per second"), &self.rates);
        report.line(
            format!("{when}: CPU for a task"),
            format!("{} ms", ms(self.cpu)),
        );
    }
}

/// Starts anew in the home of a host that is killed first.
fn start_again(mut host: Host, home: &Path, samples: &mut Samples) {
    host.kill_nine();
    let config = format!("{RAISED}{}", noop());
    for _ in 0..10 {
        let began = Instant::now();
        let again = Host::start_in(home, &config);
        samples.push(began.elapsed());
        drop(again);
    }
    drop(host);
}
