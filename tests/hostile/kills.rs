//! Killed at random moments, then gone on with: `stream --learn` and `search`, to the bits of one that nobody killed.
//! `tests/cli/killed.rs` does the same to `train`, two hundred times, and `tests/cli/many_series.rs` to a model for each series.

use crate::campaign::campaign;
use crate::program::Place;
use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SEARCH: &str = "search good.csv --tries 9 --epochs 9 --seed 3 --threads 1 --journal";

fn start(place: &Place, args: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rnnstep"));
    command.args(args.split(' ')).current_dir(place.path(".")).env("CUDA_VISIBLE_DEVICES", "-1");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn finish(place: &Place, args: &str, input: &str) -> Result<(), String> {
    let mut child = start(place, args);
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let status = child.wait().unwrap();
    if status.success() { Ok(()) } else { Err(format!("rnnstep {args}: {status}")) }
}

/// Sends SIGKILL or SIGINT after so long.
fn kill(child: &mut Child, signal: &str, after: Duration) {
    std::thread::sleep(after);
    let _ = Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status();
    let _ = child.wait();
}

#[test]
fn a_search() {
    campaign("kills::a_search", 20, |folder| {
        let place = Place::new(folder);
        finish(&place, &format!("{SEARCH} whole.json --out whole.toml"), "").unwrap();
        move |case| {
            for name in ["cut.json", "cut.toml"] {
                let _ = fs::remove_file(place.path(name));
            }
            let args = format!("{SEARCH} cut.json --out cut.toml");
            for _ in 0..case.dice.between(1, 3) {
                let signal = case.dice.one(&["-KILL", "-KILL", "-INT", "-TERM"]);
                kill(&mut start(&place, &args), signal, Duration::from_micros(case.dice.below(60_000) as u64));
            }
            let cut_off = !place.path("cut.toml").exists();
            finish(&place, &args, "")?;
            let same = fs::read(place.path("cut.toml")).ok() == fs::read(place.path("whole.toml")).ok();
            left_over(&place)?;
            if same { Ok(!cut_off) } else { Err("another recipe than that of a search that nobody killed".into()) }
        }
    });
}

#[test]
fn a_learner() {
    campaign("kills::a_learner", 12, |folder| {
        let place = Place::new(folder);
        let lines: Vec<String> = (0..40).map(|i| format!("{}\n", (i as f32 * 0.3).sin() + 5.0)).collect();
        finish(&place, "stream m.safetensors --learn --save-every 1 --out whole.safetensors", &lines.concat()).unwrap();
        move |case| {
            for name in ["cut.safetensors", "cut.learner.safetensors"] {
                let _ = fs::remove_file(place.path(name));
            }
            let mut child = start(&place, "stream m.safetensors --learn --save-every 1 --out cut.safetensors");
            let (mut stdin, all) = (child.stdin.take().unwrap(), lines.concat());
            let writer = std::thread::spawn(move || drop(stdin.write_all(all.as_bytes())));
            let signal = case.dice.one(&["-KILL", "-KILL", "-INT", "-TERM"]);
            kill(&mut child, signal, Duration::from_micros(case.dice.below(120_000) as u64));
            writer.join().unwrap();
            // what is there is whole, says how far it came, and goes on to the same bits
            let kept = place.path("cut.learner.safetensors");
            let (from, done) = if kept.exists() {
                let read = rnnstep::model::file::load(
                    &kept,
                    &rnnstep::model::file::ReadOptions::default(),
                    rnnstep::Cpu::widest(),
                )
                .map_err(|error| error.to_string())?;
                let ticks = read
                    .metadata
                    .position
                    .as_ref()
                    .and_then(|position| position.pointer("/learner/numbers/ticks")?.as_u64());
                ("cut.learner.safetensors", ticks.ok_or("a learner that does not say how far it came")? as usize)
            } else {
                ("m.safetensors", 0)
            };
            finish(
                &place,
                &format!("stream {from} --learn --save-every 1 --out cut.safetensors"),
                &lines[done..].concat(),
            )?;
            for name in ["safetensors", "learner.safetensors"] {
                if fs::read(place.path(&format!("cut.{name}"))).ok()
                    != fs::read(place.path(&format!("whole.{name}"))).ok()
                {
                    return Err(format!("another {name} than that of a learner that nobody killed, from tick {done}"));
                }
            }
            left_over(&place)?;
            Ok(done == lines.len())
        }
    });
}

/// Nothing temporary is left once a command has come to its end.
fn left_over(place: &Place) -> Result<(), String> {
    let mut names =
        fs::read_dir(place.path(".")).unwrap().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.find(|name| name.starts_with(".rnnstep-")).map_or(Ok(()), |name| Err(format!("{name} was left")))
}
