//! Measuring in pairs: baseline and subject in turn, A B A B, in one process and one run, so that a drift of the machine
//! meets both. The number to quote is the median of the pairwise ratios; times are shown for scale only.
//!
//! Raw figures go to `benches/runs/<day>-<bench>.jsonl`, one line a measurement, with the machine they were taken on.
#![allow(dead_code, reason = "each bench uses a part of it")]
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a bench prints, and stops when it cannot measure"
)]

pub mod bare;
pub mod bus;
pub mod latency;
pub mod oracle;
pub mod record;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

/// Runs of each side, after one that is not counted. `KENH_BENCH_RUNS` changes it.
pub fn runs() -> usize {
    std::env::var("KENH_BENCH_RUNS").ok().and_then(|v| v.parse().ok()).unwrap_or(5)
}

/// A bench with its file of raw figures.
pub struct Bench {
    name: &'static str,
    file: PathBuf,
}

impl Bench {
    /// Begins a bench and notes the machine.
    pub fn start(name: &'static str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let dir = root.join("benches/runs");
        fs::create_dir_all(&dir).expect("benches/runs can be made");
        let day = jiff::Zoned::now().strftime("%Y-%m-%d").to_string();
        let bench = Self { name, file: dir.join(format!("{day}-{name}.jsonl")) };
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model =
            cpu.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or("").trim_start_matches([' ', '\t', ':']);
        let cores = cpu.lines().filter(|l| l.starts_with("processor")).count();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        bench.raw(&json!({
            "bench": name, "at": jiff::Timestamp::now().to_string(), "cpu": model, "cores": cores, "load": load.trim(),
            "profile": if cfg!(debug_assertions) { "dev: opt-level 2, checked arithmetic" } else { "release" },
        }));
        println!("\n{name}  ({cores} cores, {model}, load {})", load.split(' ').next().unwrap_or("?"));
        bench
    }

    fn raw(&self, line: &serde_json::Value) {
        let mut file =
            OpenOptions::new().create(true).append(true).open(&self.file).expect("the raw file can be opened");
        writeln!(file, "{line}").expect("the raw file can be written");
    }

    /// Compares `subject` with `baseline`, each doing `items` things and saying how long that took, so that neither's
    /// preparations count. Prints the median of the pairwise ratios, and the least and greatest. One pair before is not
    /// counted.
    pub fn pair(
        &self,
        what: &str,
        items: u64,
        (base_name, baseline): (&str, &mut dyn FnMut() -> Duration),
        (name, subject): (&str, &mut dyn FnMut() -> Duration),
    ) {
        let (cold_base, cold) = (baseline(), subject());
        self.raw(&json!({
            "what": what, "cold": true, "items": items, base_name: cold_base.as_secs_f64(), name: cold.as_secs_f64(),
        }));
        let mut ratios = Vec::new();
        let mut times = (Vec::new(), Vec::new());
        for run in 0..runs() {
            let a = baseline().as_secs_f64();
            let b = subject().as_secs_f64();
            self.raw(&json!({ "what": what, "run": run, "items": items, base_name: a, name: b }));
            ratios.push(b / a);
            times.0.push(a);
            times.1.push(b);
        }
        let rate = |seconds: f64| items as f64 / seconds;
        let ratio = median(&mut ratios);
        println!(
            "  {what:<42} {base_name} {:>10.0}/s   {name} {:>10.0}/s   takes {ratio:.2}x ({:.2}..{:.2})",
            rate(median(&mut times.0)),
            rate(median(&mut times.1)),
            ratios.first().copied().unwrap_or_default(),
            ratios.last().copied().unwrap_or_default(),
        );
        let (base, own) = (rate(median(&mut times.0)), rate(median(&mut times.1)));
        self.raw(&json!({ "what": what, "median_ratio": ratio, "base_per_s": base, "per_s": own }));
    }

    /// Keeps one raw figure without printing it.
    pub fn note(&self, what: &str, value: f64, unit: &str) {
        self.raw(&json!({ "what": what, "value": value, "unit": unit }));
    }

    /// Notes a figure that has no baseline to be divided by (a size, a latency distribution).
    pub fn figure(&self, what: &str, value: f64, unit: &str) {
        self.note(what, value, unit);
        println!("  {what:<44} {value:.2} {unit}");
    }
}

/// How long `work` takes.
pub fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Sorts and takes the middle.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value below which `share` (0..1) of the sorted values lie.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let at = (values.len() as f64 * share) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
