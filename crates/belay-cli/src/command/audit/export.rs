//! `belay audit export`: all records that match, in a form that other programs read.

mod line;
mod parquet;

use self::parquet::Parquet;
use super::source::{DELETIONS, Place, Source, mind_deleted};
use crate::failure::{Exit, Failure};
use crate::output::{Out, csv_line};
use belay_server::ledger::search::Page;
use belay_web::shape::AuditEntry;
use line::{COLUMNS, Line};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Records of one page.
const PAGE: usize = 1_000;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What is looked for; everything with `''`
    #[arg(allow_hyphen_values = true)]
    query: String,
    #[command(flatten)]
    place: Place,
    /// What is written
    #[arg(long, value_name = "FORMAT")]
    format: Format,
    /// Where to; CSV and JSON Lines go to stdout otherwise
    #[arg(short, long, value_name = "FILE", required_if_eq("format", "parquet"))]
    file: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Csv,
    Jsonl,
    Parquet,
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<ExitCode, Failure> {
    let mut source = Source::open(&args.place, out).await?;
    let Some(path) = &args.file else {
        let mut sink = Sink::text(args.format, Box::new(io::stdout()));
        // A reader that has gone, such as `head`, is no failure of ours.
        let gone =
            |failed: &Failed| matches!(failed, Failed::Write(error) if error.kind() == io::ErrorKind::BrokenPipe);
        return match export(&mut source, &args.query, &mut sink, out).await {
            Err(failed) if gone(&failed) => Ok(ExitCode::SUCCESS),
            other => other.map(|_| ExitCode::SUCCESS).map_err(|failed| failed.told(Path::new("stdout"))),
        };
    };
    let file = Unfinished::begin(path).map_err(|error| Failed::Write(error).told(path))?;
    let handle = file.handle.try_clone().map_err(|error| Failed::Write(error).told(path))?;
    let mut sink = match args.format {
        Format::Parquet => {
            Sink::Parquet(Box::new(Parquet::begin(handle).map_err(|error| Failed::Write(error).told(path))?))
        }
        text => Sink::text(text, Box::new(handle)),
    };
    let count = export(&mut source, &args.query, &mut sink, out).await.map_err(|failed| failed.told(path))?;
    file.finish(path).map_err(|error| Failed::Write(error).told(path))?;
    out.say(&format!("{count} records are in {}", path.display()));
    Ok(ExitCode::SUCCESS)
}

/// Why an export ended early.
enum Failed {
    Search(Failure),
    Write(io::Error),
}

impl Failed {
    fn told(self, path: &Path) -> Failure {
        match self {
            Failed::Search(failure) => failure,
            Failed::Write(error) => {
                Failure::new(Exit::Failure, format!("`{}` cannot be written: {error}", path.display()))
            }
        }
    }
}

/// Oldest first, up to the record that is the newest now.
async fn export(source: &mut Source, query: &str, sink: &mut Sink, out: &Out) -> Result<u64, Failed> {
    let newest = source.page("", Page::Newest, 1, out).await.map_err(Failed::Search)?;
    let end = newest.list.items.last().map(|entry| entry.seq);
    let deleted = source.page(DELETIONS, Page::Newest, 1, out).await.map_err(Failed::Search)?;
    mind_deleted(&deleted.list.items, out);
    let (mut from, mut count) = (0, 0);
    sink.begin().map_err(Failed::Write)?;
    while let Some(end) = end.filter(|end| from <= *end) {
        let page = source.page(query, Page::From(from), PAGE, out).await.map_err(Failed::Search)?;
        for entry in page.list.items.iter().filter(|entry| entry.seq <= end) {
            sink.write(entry).map_err(Failed::Write)?;
            count += 1;
        }
        let Some(next) = page.next else { break };
        from = next + 1;
    }
    sink.end().map_err(Failed::Write)?;
    Ok(count)
}

enum Sink {
    Csv(Box<dyn Write>),
    Jsonl(Box<dyn Write>),
    Parquet(Box<Parquet>),
}

impl Sink {
    fn text(format: Format, to: Box<dyn Write>) -> Sink {
        let to = Box::new(BufWriter::new(to));
        match format {
            Format::Csv => Sink::Csv(to),
            _ => Sink::Jsonl(to),
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        match self {
            Sink::Csv(to) => writeln!(to, "{}", COLUMNS.join(",")),
            Sink::Jsonl(_) | Sink::Parquet(_) => Ok(()),
        }
    }

    fn write(&mut self, entry: &AuditEntry) -> io::Result<()> {
        match self {
            Sink::Csv(to) => writeln!(to, "{}", csv_line(&Line::of(entry).cells())),
            Sink::Jsonl(to) => {
                serde_json::to_writer(&mut *to, entry)?;
                writeln!(to)
            }
            Sink::Parquet(parquet) => parquet.write(Line::of(entry)),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        match self {
            Sink::Csv(to) | Sink::Jsonl(to) => to.flush(),
            Sink::Parquet(parquet) => parquet.end(),
        }
    }
}

/// A file that has its name only when it is whole.
struct Unfinished {
    path: PathBuf,
    handle: File,
}

impl Unfinished {
    fn begin(path: &Path) -> io::Result<Unfinished> {
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        let path = PathBuf::from(name);
        let handle = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        Ok(Unfinished { path, handle })
    }

    fn finish(self, path: &Path) -> io::Result<()> {
        self.handle.sync_all()?;
        std::fs::rename(&self.path, path)
    }
}
