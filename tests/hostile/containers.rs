//! Damaged safetensors files through the library: what is refused is refused in a line that names the file, and what is taken
//! can be used in every way that there is.

use crate::campaign::{Case, Outcome, a_line, allowed, campaign, cut, names_file};
use crate::dice::Dice;
use crate::{damage, good};
use rnnstep::Cpu;
use rnnstep::cpu::Threads;
use rnnstep::evaluate::backtest::{Protocol, evaluate};
use rnnstep::learner::Numbers;
use rnnstep::measure::reference64;
use rnnstep::model::file;
use rnnstep::model::file::Loaded;
use rnnstep::series::multi_step;
use rnnstep::tensor::Array;
use rnnstep::train::Recipe;
use rnnstep::train::Table;
use rnnstep::train::checkpoint::Checkpoint;
use rnnstep::{
    Device, Isa, Learner, LearnerOptions, Model, Nonlinearity, Order, State, Stream, Streams, Tensor, Weights,
};
use std::fs;
use std::path::Path;

fn cpus() -> Vec<Cpu> {
    Isa::available().into_iter().map(|isa| Cpu::new(isa).unwrap()).collect()
}

#[test]
fn models() {
    campaign("containers::models", 6000, |folder| {
        let (good, cpus) = ([good::models(folder), good::foreign()].concat(), cpus());
        move |case| {
            let path = damaged(case, &good);
            let options = case.dice.one(&[None, None, Some(Nonlinearity::Relu)]);
            match file::load(&path, &file::ReadOptions::default().with_nonlinearity(options), case.dice.one(&cpus)) {
                Ok(loaded) => {
                    warnings(&loaded, &path)?;
                    let cpu = case.dice.one(&cpus);
                    model(&mut case.dice, &loaded, cpu, case.folder)?;
                    Ok(true)
                }
                Err(error) => names_file(&error, &path).map(|()| false),
            }
        }
    });
}

#[test]
fn checkpoints() {
    campaign("containers::checkpoints", 2500, |folder| {
        let good = [good::checkpoint(folder)];
        move |case| {
            let path = damaged(case, &good);
            match Checkpoint::load(&path, Cpu::widest()) {
                Ok(checkpoint) => {
                    let resumed =
                        checkpoint.into_trainer(good::windows(), Recipe::default(), Cpu::widest(), Threads::default());
                    let Some((mut trainer, best)) = allowed(resumed)? else { return Ok(false) };
                    allowed(trainer.steps(3, |_| {}))?;
                    let again = case.folder.join("again.safetensors");
                    let saved = rnnstep::train::checkpoint::save(
                        &again,
                        &mut trainer,
                        best.as_ref(),
                        &file::Metadata::default(),
                    );
                    allowed(saved)?;
                    Ok(true)
                }
                Err(error) => names_file(&error, &path).map(|()| false),
            }
        }
    });
}

#[test]
fn learners() {
    campaign("containers::learners", 2500, |folder| {
        let good = [good::learner(folder)];
        move |case| {
            let path = damaged(case, &good);
            let loaded = match file::load(&path, &file::ReadOptions::default(), Cpu::widest()) {
                Ok(loaded) => loaded,
                Err(error) => return names_file(&error, &path).map(|()| false),
            };
            warnings(&loaded, &path)?;
            learner(&mut case.dice, loaded)
        }
    });
}

/// As `stream --learn` goes on from a learner's file.
fn learner(dice: &mut Dice, loaded: Loaded) -> Outcome {
    let stored = |name: &str| loaded.metadata.position.as_ref()?.get("learner")?.get(name).cloned();
    let options = serde_json::from_value::<LearnerOptions>(stored("options").unwrap_or_default());
    let Ok(options) = options else { return Ok(false) };
    let Some(mut learner) = allowed(Learner::new(loaded.model.clone(), options, Cpu::widest()))? else {
        return Ok(false);
    };
    let mut snapshot = learner.snapshot();
    match serde_json::from_value::<Numbers>(stored("numbers").unwrap_or_default()) {
        Ok(numbers) => snapshot.numbers = numbers,
        Err(_) => return Ok(false),
    }
    for (name, buffer) in snapshot.buffers_mut() {
        let found =
            loaded.extra.get(&format!("{}{name}", file::LEARNER)).cloned().map(|array| array.narrow().into_data());
        if let Some(found) = found.filter(|found| found.len() == buffer.len()) {
            buffer.copy_from_slice(&found);
        }
    }
    for (name, values) in snapshot.raw_values_mut() {
        let found =
            loaded.extra.get(&format!("{}{name}", file::LEARNER)).cloned().map(|array| array.wide().into_data());
        if let Some(found) = found.filter(|found| found.len() == values.len()) {
            values.copy_from_slice(&found);
        }
    }
    if allowed(learner.restore(&snapshot))?.is_none() {
        return Ok(false);
    }
    learner.warm_up();
    let shape = *learner.model().shape();
    let targets = options.loss.outputs(1).max(1);
    for _ in 0..12 {
        let (x, came) = (dice.values(shape.input()), dice.values(shape.width_out() / targets));
        allowed(learner.tick(&x, &came).map(|_| ()))?;
    }
    let kept = learner.snapshot();
    allowed(learner.restore(&kept))?.ok_or("a learner refuses its own snapshot").map(|()| true).map_err(Into::into)
}

#[test]
fn arrays() {
    campaign("containers::arrays", 2500, |folder| {
        let good = good::arrays(folder);
        let model = Model::random(*good::trainer().model().shape(), 7).unwrap();
        move |case| {
            let path = damaged(case, &good);
            let all = match file::read_all_tensors::<f32>(&path) {
                Ok(all) => all,
                Err(error) => return names_file(&error, &path).map(|()| false),
            };
            let mut taken = false;
            if let (Some(x), Some(target)) = (all.get("x"), all.get("target"))
                && let Some(mut windows) = allowed(rnnstep::data::windows::Windows::cut(x.clone(), target.clone()))?
            {
                taken = true;
                allowed(rnnstep::train::mean_loss(&model, &mut windows, &Recipe::default(), Cpu::widest()))?;
            }
            let mut state = State::new(model.shape(), 1);
            for (name, tensor) in &all {
                let set = if name == "c" { state.set_c(tensor.data()) } else { state.set_h(tensor.data()) };
                taken |= allowed(set)?.is_some();
                if tensor.dims().len() <= 3 {
                    taken |= allowed(model.forward(Cpu::widest(), tensor, Order::BatchFirst, &mut state))?.is_some();
                }
            }
            Ok(taken)
        }
    });
}

#[cfg(feature = "cuda")]
#[test]
fn bundles() {
    use rnnstep::cuda::image::bundle::Bundle;
    campaign("containers::bundles", 1500, |folder| {
        let path = folder.join("good.bundle");
        let (shape, data) = ("a shape", vec![7_u8; 64]);
        Bundle::new(shape).save(&path).unwrap();
        let empty = fs::read(&path).unwrap();
        // an image under a name as they have it; the sum no longer fits, which is what has to be seen
        let (mut header, _) = damage::apart(&empty).unwrap();
        let name = format!("sm_90/{}/{}", "lstm.cu", "ab".repeat(32));
        header[name] = serde_json::json!({ "dtype": "U8", "shape": [64], "data_offsets": [0, 64] });
        let good = [("empty".to_string(), empty), ("one".to_string(), damage::together(&header.to_string(), &data))];
        move |case| {
            let path = damaged(case, &good);
            match Bundle::load(&path, shape) {
                // nothing that was changed in it counts
                Ok(bundle) if bundle.is_empty() => Ok(true),
                Ok(bundle) => Err(format!("a bundle of {} images whose sum nobody made", bundle.len())),
                Err(error) => names_file(&error, &path).map(|()| false),
            }
        }
    });
}

/// One of the good files, damaged one to four times, or now and then as it is.
fn damaged(case: &mut Case, good: &[good::Good]) -> std::path::PathBuf {
    let dice = &mut case.dice;
    let (_, mut bytes) = good[dice.below(good.len())].clone();
    for _ in 0..dice.one(&[0, 1, 1, 1, 1, 1, 2, 2, 3, 4]) {
        damage::container(dice, &mut bytes);
    }
    let path = case.folder.join("m.safetensors");
    fs::write(&path, bytes).unwrap();
    path
}

fn warnings(loaded: &Loaded, path: &Path) -> Result<(), String> {
    loaded.warnings.iter().try_for_each(|warning| {
        a_line(warning, 600)?;
        if warning.contains(&*path.to_string_lossy()) {
            Ok(())
        } else {
            Err(format!("a warning without file: {warning}"))
        }
    })
}

/// Uses a model in every way.
fn model(dice: &mut Dice, loaded: &Loaded, cpu: Cpu, folder: &Path) -> Result<(), String> {
    let (model, shape) = (&loaded.model, *loaded.model.shape());
    let x = Tensor::new([6, shape.input()], dice.values(6 * shape.input())).unwrap();
    let y = allowed(model.forward(cpu, &x, Order::BatchFirst, &mut State::new(&shape, 1)))?;
    // the same bits row by row, alone and beside others
    let stream = allowed(Stream::on(cpu, model.clone()))?;
    let streams = allowed(Streams::new(model.clone(), Cpu::widest(), Threads::default(), 2))?;
    if let (Some(y), Some(mut stream), Some(mut streams)) = (&y, stream, streams) {
        let (one, other) = (streams.open().unwrap(), streams.open().unwrap());
        let mut both = vec![0.0; 2 * shape.width_out()];
        for (t, row) in x.data().chunks_exact(shape.input()).enumerate() {
            let expected = &y.data()[t * shape.width_out()..][..shape.width_out()];
            same(expected, stream.step(row).map_err(|error| error.to_string())?, "a stream")?;
            let rows = [dice.values(shape.input()), row.to_vec()].concat();
            streams.step_many(&[other, one], &rows, &mut both).map_err(|error| error.to_string())?;
            same(expected, &both[shape.width_out()..], "streams")?;
        }
        let state = stream.state().map_err(|error| error.to_string())?.clone();
        allowed(streams.set_state(other, &state))?;
        allowed(stream.set_state(&state))?;
    }
    let batch = Tensor::new([2, 3, shape.input()], x.data()).unwrap();
    allowed(model.forward(Cpu::widest(), &batch, Order::TimeMajor, &mut State::new(&shape, 3)))?;
    for weights in Weights::ALL {
        if let Some(small) = allowed(model.clone().with_weights(weights))? {
            let mut stream = Stream::on(cpu, small).map_err(|error| error.to_string())?;
            allowed(stream.step(&x.data()[..shape.input()]).map(|_| ()))?;
        }
    }
    allowed(reference64::deviation(model, Weights::F32, cpu))?;
    let history = good::series(12, shape.input());
    if let Some(mut stream) = allowed(Stream::on(cpu, model.clone()))? {
        allowed(multi_step::ahead(&mut stream, &history.clone().into(), 3))?;
    }
    learns(dice, model, &history)?;
    evaluated(model, cpu)?;
    again(loaded, folder)
}

fn learns(dice: &mut Dice, model: &Model, history: &Tensor) -> Result<(), String> {
    let loss = model.units().map_or(Default::default(), |units| units.loss());
    let adapt = dice.one(&[None, Some(0.9)]);
    let options = LearnerOptions { loss, window: 3, adapt, ..LearnerOptions::default() };
    let Some(mut learner) = allowed(Learner::new(model.clone(), options, Cpu::widest()))? else { return Ok(()) };
    let targets = model.shape().width_out() / loss.outputs(1);
    for row in history.data().chunks_exact(model.shape().input()) {
        allowed(learner.tick(row, &dice.values(targets)).map(|_| ()))?;
    }
    Ok(())
}

fn evaluated(model: &Model, cpu: Cpu) -> Result<(), String> {
    let width = model.shape().input();
    let targets = model.units().map_or(model.shape().width_out(), |units| units.targets());
    let inputs = good::series(40, width);
    let columns = (width == targets).then(|| (0..width).collect());
    let Some(table) = allowed(Table::new(inputs, good::series(40, targets), columns))? else { return Ok(()) };
    let protocol = Protocol::new(30, 2).with_lags(3).with_warm_up(20);
    allowed(evaluate(&table, &protocol, &Device::Cpu(cpu), |_, _, _| Ok(model.clone()))).map(|_| ())
}

/// What was taken can be written, and what was written is the same.
fn again(loaded: &Loaded, folder: &Path) -> Result<(), String> {
    let path = folder.join("again.safetensors");
    let extra: Vec<(String, Array)> =
        loaded.extra.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
    if allowed(file::save(&path, &loaded.model, &loaded.metadata, &extra))?.is_none() {
        return Ok(());
    }
    let read = file::load(&path, &file::ReadOptions::default(), Cpu::widest())
        .map_err(|error| format!("written, and not read: {}", cut(&error.to_string())))?;
    let bits = |model: &Model| model.params().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    if bits(&read.model) == bits(&loaded.model) && read.model.units() == loaded.model.units() {
        Ok(())
    } else {
        Err("another model after it was written and read".into())
    }
}

/// The same bits, but for which NaN one is.
fn same(expected: &[f32], found: &[f32], what: &str) -> Result<(), String> {
    let equal = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
    if expected.len() == found.len() && expected.iter().zip(found).all(equal) {
        return Ok(());
    }
    Err(format!("{what}: other bits than the whole sequence: {found:?}, expected {expected:?}"))
}
