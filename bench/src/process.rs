//! CPU and memory of processes, from `/proc`.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks at memory.
const PAUSE: Duration = Duration::from_millis(20);
/// The kernel counts CPU in these.
const TICK: Duration = Duration::from_millis(10);

/// The processes of one PostgreSQL.
#[derive(Debug, Clone, Copy)]
pub struct Servers {
    postmaster: u32,
}

/// The most memory that a gateway and a PostgreSQL hold while this lives.
#[derive(Debug)]
pub struct Peak {
    stop: Arc<AtomicBool>,
    looking: JoinHandle<(u64, u64)>,
}

impl Servers {
    /// Those of the back end with this number.
    pub fn of(back_end: u32) -> Servers {
        Servers { postmaster: parent(back_end).expect("the back end runs") }
    }

    /// CPU of all of them so far, those that have ended included.
    pub fn cpu(self) -> Duration {
        let running: u64 = self.children().map(|pid| ticks(pid).0).sum();
        let (own, ended) = ticks(self.postmaster);
        TICK * u32::try_from(running + own + ended).expect("less than a year")
    }

    /// Memory that each has for itself, in KiB: what they share is as large as it was set.
    fn private_kib(self) -> u64 {
        self.children().chain([self.postmaster]).map(|pid| status_kib(pid, "RssAnon:")).sum()
    }

    fn children(self) -> impl Iterator<Item = u32> {
        let processes = fs::read_dir("/proc").expect("/proc");
        let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(move |pid| parent(*pid) == Some(self.postmaster))
    }
}

impl Peak {
    /// Looks from now on.
    pub fn watch(gateway: u32, servers: Servers) -> Peak {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let looking = std::thread::spawn(move || {
            let mut most = (0, 0);
            while !stopped.load(Ordering::Relaxed) {
                most.0 = most.0.max(status_kib(gateway, "VmRSS:"));
                most.1 = most.1.max(servers.private_kib());
                std::thread::sleep(PAUSE);
            }
            most
        });
        Peak { stop, looking }
    }

    /// MiB of the gateway, and private MiB of the servers together.
    pub fn mib(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let (gateway, servers) = self.looking.join().expect("the looks end");
        (gateway >> 10, servers >> 10)
    }
}

/// CPU of one process so far. A tick is 10 ms.
pub fn cpu(pid: u32) -> Duration {
    TICK * u32::try_from(ticks(pid).0).expect("less than a year")
}

/// Its own CPU and that of its children that have ended.
fn ticks(pid: u32) -> (u64, u64) {
    let fields = stat(pid).unwrap_or_default();
    let at = |field: usize| fields.get(field).and_then(|text| text.parse().ok()).unwrap_or(0);
    (at(11) + at(12), at(13) + at(14))
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.get(1)?.parse().ok()
}

/// What follows the name in `/proc/PID/stat`, where the process still runs.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

fn status_kib(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
