//! Numbers and how they are shown.

use std::{
    fmt,
    fs::File,
    io::{Seek, Write},
    path::Path,
    time::{Duration, Instant},
};

/// Times of one thing, done many times.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    pub(crate) fn extend(&mut self, samples: impl IntoIterator<Item = Duration>) {
        self.0.extend(samples);
    }

    /// The sample below which this share of all lies.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into some thousand samples"
        )]
        let at = ((sorted.len().saturating_sub(1)) as f64 * share).round() as usize;
        sorted.get(at).copied().unwrap_or_default()
    }

    pub(crate) fn median(&self) -> Duration {
        self.quantile(0.5)
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (median, high) = (self.median(), self.quantile(0.99));
        write!(
            f,
            "median {} ms, p99 {} ms ({} samples)",
            ms(median),
            ms(high),
            self.0.len()
        )
    }
}

/// Milliseconds with three decimals.
pub(crate) fn ms(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1e3)
}

/// How long the disk takes to make 4 KiB durable, many times.
pub(crate) fn disk_sync(folder: &Path) -> Samples {
    let path = folder.join("sync.probe");
    let mut file = File::create(&path).expect("the probe's file");
    let mut samples = Samples::default();
    for _ in 0..200 {
        file.rewind().expect("the probe's file");
        file.write_all(&[0x5a; 4096]).expect("the probe's file");
        let began = Instant::now();
        rustix::fs::fdatasync(&file).expect("the probe's file");
        samples.push(began.elapsed());
    }
    std::fs::remove_file(path).expect("the probe's file");
    samples
}

/// What the figures were taken on, and what else it was doing.
pub(crate) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    format!(
        "{} × {}, Linux {}; load average before: {}",
        cores,
        model.trim_start_matches([' ', '\t', ':']),
        kernel.trim(),
        load.join(" ")
    )
}

/// What one measurement found, as lines of Markdown.
#[derive(Debug)]
pub(crate) struct Report {
    name: String,
    lines: Vec<(String, String)>,
}

impl Report {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            lines: Vec::new(),
        }
    }

    pub(crate) fn line(&mut self, what: impl Into<String>, figure: impl fmt::Display) {
        self.lines.push((what.into(), figure.to_string()));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n\n| what | figure |\n|---|---|", self.name)?;
        self.lines
            .iter()
            .try_for_each(|(what, figure)| writeln!(f, "| {what} | {figure} |"))
    }
}
