//! Runs the engine in a comparison of several programs: reads lines `VARIANT\tFILE\tWIDTH\tHEIGHT\tREPS\tOUT` on stdin and
//! answers each with one line of REPS fields `WALL_MS:CPU_MS`, the time from the file's bytes in memory to the thumbnail's
//! bytes in memory. The last thumbnail is written to OUT, unless that is `-`. A cover crop, at the quality in the
//! environment variable `Q` (80), in the format in `OUTPUT` (jpeg); VARIANT is ignored.
//!
//! It is a benchmark target, so that it is built like one: `cargo bench -p thumb-engine --bench peer_loop --no-run`.

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use thumb_engine::{DEFAULT_QUALITY, Options, Output, Size, Spec, thumbnails};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let quality = std::env::var("Q").ok().map_or(Ok(DEFAULT_QUALITY), |quality| quality.parse())?;
    let output = std::env::var("OUTPUT").map_or(Ok(Output::default()), |word| word.parse())?;
    let mut stdout = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let [_, file, width, height, reps, out] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(format!("not six fields: {line}").into());
        };
        let source = std::fs::read(file)?;
        let spec = Spec { quality, output, ..Spec::new(Size::new(width.parse()?, height.parse()?)) };
        let mut times = Vec::new();
        let mut jpeg = Vec::new();
        for _ in 0..reps.parse::<usize>()? {
            let (wall, cpu) = (Instant::now(), cpu_time());
            jpeg = thumbnails(&source, &[spec], &Options::default())?.remove(0).bytes;
            let (wall, cpu) = (wall.elapsed(), cpu_time().saturating_sub(cpu));
            times.push(format!("{:.4}:{:.4}", wall.as_secs_f64() * 1e3, cpu.as_secs_f64() * 1e3));
        }
        if out != "-" {
            std::fs::write(out, &jpeg)?;
        }
        writeln!(stdout, "{}", times.join(" "))?;
        stdout.flush()?;
    }
    Ok(())
}

/// The CPU time that this process has used, all threads.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
