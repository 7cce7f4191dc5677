//! Safe code that follows no rule: sizes whose products wrap, lengths that do not fit, states of other networks, what was
//! begun and broke off. All of it is an error, or a panic that is documented; never memory of somebody else. Run under the
//! address sanitizer and Miri by `.ci/sanitize`, which see the access itself.

use rnnstep::cpu::{Many, Network, Stepper, Threads};
use rnnstep::data::sine;
use rnnstep::data::windows::Windows;
use rnnstep::model::file::{End, Metadata};
use rnnstep::net::pass::{HeadSteps, Mode};
use rnnstep::objective::optimizer::Optimizer;
use rnnstep::train::checkpoint::Best;
use rnnstep::train::{Fit, Length, Plan, Table};
use rnnstep::train::{Recipe, Trainer};
use rnnstep::units::scaler::Scaling;
use rnnstep::{
    CellKind, Cpu, Isa, Learner, LearnerOptions, Model, Order, Scaler, Shape, State, Stream, Streams, TargetTransform,
    Tensor, Units, Weights,
};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once};

/// Fewer rounds under Miri, which takes its time.
const MIRI: bool = cfg!(miri);

fn shape(cell: CellKind, input: usize, hidden: usize, layers: usize) -> Shape {
    Shape::new(cell, input, hidden, layers, 1).unwrap()
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 7 % 23) as f32 / 11.0 - 1.0).collect()
}

thread_local! {
    /// Whether panics of this thread are caught on purpose, and not to be printed.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Prints no panic of this thread while `work` runs: those that come out of it are the test's.
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                loud(panic)
            }
        }));
    });
    let before = QUIET.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(before);
    done.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        panic!("{}", text.unwrap_or("a panic without words"))
    })
}

#[test]
fn sizes_whose_product_wraps_are_refused() {
    let wild = [1 << 20, 1 << 31, (1 << 60) / 7 + 1, usize::MAX / 16 + 1, usize::MAX / 2 + 1, usize::MAX];
    for cell in CellKind::ALL {
        let shape = shape(cell, 1, 16, 1);
        let model = Model::random(shape, 0).unwrap();
        for (steps, batch) in wild.iter().flat_map(|&a| wild.iter().chain(&[1]).flat_map(move |&b| [(a, b), (b, a)])) {
            if steps.saturating_mul(batch) < 1 << 26 {
                continue; // that many can be had
            }
            for purpose in [Mode::Inference, Mode::Training] {
                let made = Network::new(Cpu::widest(), Threads::default(), &shape, steps, batch, purpose);
                assert!(made.unwrap_err().to_string().contains("more memory than makes sense"), "{steps} x {batch}");
            }
        }
        for slots in wild.into_iter().filter(|&slots| slots > 1 << 32) {
            let of = (Weights::F32, model.params());
            assert!(Many::new(Cpu::widest(), Threads::default(), &shape, of, slots).is_err());
            assert!(Streams::new(model.clone(), Cpu::widest(), Threads::default(), slots).is_err());
            let options = LearnerOptions { window: slots, ..LearnerOptions::default() };
            assert!(Learner::new(model.clone(), options, Cpu::widest()).is_err());
            quietly(|| assert!(catch_unwind(|| State::new(&shape, slots)).is_err(), "a state of {slots} sequences"));
        }
    }
    quietly(|| assert!(catch_unwind(|| Tensor::<f32>::zeros([1 << 32, 1 << 32, 2])).is_err()));
    assert!(
        Tensor::<f32>::new([usize::MAX, 0, usize::MAX], []).unwrap().swap_batch_and_time().unwrap().data().is_empty()
    );
    let tensor = Tensor::new([3, 2], values(6)).unwrap();
    for (start, end) in [(2, 1), (4, 4), (0, 4), (usize::MAX, 0), (1, usize::MAX)] {
        assert!(tensor.part(start..end).is_err(), "{start}..{end}");
    }
}

#[test]
fn no_shape_is_made_without_a_check() {
    let good = shape(CellKind::Rnn, 1, 16, 1);
    for size in [0, Shape::MAX_SIZE + 1, usize::MAX] {
        assert!(Shape::new(CellKind::Rnn, size, 1, 1, 1).is_err() && good.with_input(size).is_err());
        assert!(Shape::new(CellKind::Rnn, 1, size, 1, 1).is_err() && good.with_hidden(size).is_err());
        assert!(Shape::new(CellKind::Rnn, 1, 1, size, 1).is_err() && good.with_layers(size).is_err());
        assert!(Shape::new(CellKind::Rnn, 1, 1, 1, size).is_err() && good.with_output(Some(size)).is_err());
        let json = format!(r#"{{"cell":"rnn","input":1,"hidden":{size},"layers":1,"output":1,"bias":true}}"#);
        assert!(serde_json::from_str::<Shape>(&json).unwrap_err().to_string().contains("hidden size"), "{json}");
    }
    // each size alone is fine, together they are 2^36 parameters; on 32 bits their number would wrap
    assert!(Shape::new(CellKind::Lstm, 16_384, 16_384, 64, 16_384).is_err());
    let text = serde_json::to_string(&good).unwrap();
    assert_eq!(serde_json::from_str::<Shape>(&text).unwrap(), good);
    assert!(serde_json::from_str::<Shape>(&text.replace("tanh", "relu").replace("\"rnn\"", "\"gru\"")).is_err());
}

/// A network made for many sequences holds the gates of one step at a time; with fewer it holds several, which have to
/// end where the room does.
#[test]
fn fewer_sequences_than_a_network_was_made_for() {
    let made_for: &[usize] = if MIRI { &[65] } else { &[1, 2, 3, 10, 63, 64, 65, 66, 100, 129, 200] };
    let steps = if MIRI { 2 } else { 9 };
    for cell in CellKind::ALL {
        let shape = shape(cell, 2, if MIRI { 2 } else { 17 }, 1);
        let model = Model::random(shape, 0).unwrap();
        for &most in made_for {
            let make = |steps, batch| {
                Network::new(Cpu::widest(), Threads::default(), &shape, steps, batch, Mode::Inference).unwrap()
            };
            let mut large = make(steps, most);
            let fewer = (1..=most).filter(|batch| if MIRI { *batch == 1 } else { batch % 7 < 3 });
            for batch in fewer {
                let x = values(steps * batch * 2);
                let (mut state, mut alone) = (State::new(&shape, batch), State::new(&shape, batch));
                large.forward(model.params(), &x, &mut state, HeadSteps::All, None);
                let mut fitting = make(steps, batch);
                fitting.forward(model.params(), &x, &mut alone, HeadSteps::All, None);
                for row in large.head_rows() {
                    assert_eq!(large.y(row), fitting.y(row), "{cell:?}: {batch} of {most}, row {row}");
                }
                assert_eq!(state.h(), alone.h());
            }
        }
    }
}

#[test]
fn a_window_that_is_refused_changes_nothing() {
    for purpose in [Mode::Inference, Mode::Training] {
        let shape = shape(CellKind::Gru, 2, 9, 2);
        let model = Model::random(shape, 0).unwrap();
        let mut network = Network::new(Cpu::widest(), Threads::default(), &shape, 4, 3, purpose).unwrap();
        let x = values(4 * 3 * 2);
        let mut state = State::new(&shape, 3);
        network.forward(model.params(), &x, &mut state, HeadSteps::All, None);
        let y: Vec<Vec<f32>> = network.head_rows().map(|row| network.y(row).to_vec()).collect();
        let (h, params) = (state.h(), model.params());
        let other = |shape: Shape, batch| State::new(&shape, batch);
        let lstm = Shape::new(CellKind::Lstm, 2, 9, 2, 1).unwrap();
        let long = values(5 * 3 * 2);
        let wrong: [(&[f32], &[f32], State); 8] = [
            (params, &long, state.clone()),
            (params, &x[1..], state.clone()),
            (&params[1..], &x, state.clone()),
            (params, &x, other(shape, 4)),
            (params, &x, other(shape, 0)),
            (params, &x, other(shape.with_hidden(10).unwrap(), 3)),
            (params, &x, other(shape.with_layers(1).unwrap(), 3)),
            (params, &x, other(lstm, 3)),
        ];
        quietly(|| {
            for (i, (params, x, mut state)) in wrong.into_iter().enumerate() {
                let forward = || network.forward(params, x, &mut state, HeadSteps::Last, None);
                assert!(catch_unwind(AssertUnwindSafe(forward)).is_err(), "call {i}");
                let now: Vec<Vec<f32>> = network.head_rows().map(|row| network.y(row).to_vec()).collect();
                assert_eq!(now, y, "call {i}");
            }
            let mut grads = vec![0.0; params.len()];
            let mut backward =
                |x: &[f32]| catch_unwind(AssertUnwindSafe(|| network.backward(params, &mut grads, x, false))).is_ok();
            assert!(!backward(&x[2..]));
            assert_eq!(backward(&x), purpose == Mode::Training);
        });
        assert_eq!(state.h(), h);
        // nothing at all is a window as well
        network.forward(params, &[], &mut state, HeadSteps::Last, None);
        assert_eq!((network.head_rows(), state.h()), (0..0, h));
    }
}

/// Every state that is not of the model, with what is wrong about it.
fn foreign(shape: Shape) -> Vec<(&'static str, State)> {
    let other = if shape.cell() == CellKind::Lstm { CellKind::Gru } else { CellKind::Lstm };
    let mut filled = State::new(&shape.with_cell(other).unwrap(), 1);
    filled.set_h(&vec![0.25; shape.layers() * shape.hidden()]).unwrap();
    vec![
        ("hidden", State::new(&shape.with_hidden(shape.hidden() + 1).unwrap(), 1)),
        ("hidden", State::new(&shape.with_hidden(shape.hidden() - 1).unwrap(), 1)),
        ("layers", State::new(&shape.with_layers(shape.layers() + 1).unwrap(), 1)),
        ("sequences", State::new(&shape, 2)),
        ("no sequence", State::new(&shape, 0)),
        ("another cell", filled),
    ]
}

#[test]
fn states_of_other_networks_are_refused_whole() {
    for cell in CellKind::ALL {
        let shape = if MIRI { shape(cell, 2, 3, 1) } else { shape(cell, 2, 17, 2) };
        let model = Model::random(shape, 0).unwrap();
        let x = Tensor::new([3, 2], values(6)).unwrap();
        for (what, wrong) in foreign(shape) {
            let one_line = |error: rnnstep::Error| {
                let error = error.to_string();
                assert!(error.starts_with("state: ") && error.lines().count() == 1, "{what}: {error}");
            };
            let (h, c) = (wrong.h(), wrong.c());
            let mut given = wrong.clone();
            one_line(model.forward(Cpu::widest(), &x, Order::BatchFirst, &mut given).unwrap_err());
            assert_eq!((given.h(), given.c()), (h, c), "{what}: a state that was refused");

            let mut stream = Stream::on(Cpu::widest(), model.clone()).unwrap();
            let mut twin = Stream::on(Cpu::widest(), model.clone()).unwrap();
            stream.step(&[0.5, 0.1]).unwrap();
            twin.step(&[0.5, 0.1]).unwrap();
            one_line(stream.set_state(&wrong).unwrap_err());
            assert_eq!(stream.step(&[0.2, 0.3]).unwrap(), twin.step(&[0.2, 0.3]).unwrap(), "{what}: half a state");

            let mut streams = Streams::new(model.clone(), Cpu::widest(), Threads::default(), 1).unwrap();
            let handle = streams.open().unwrap();
            streams.step(handle, &[0.5, 0.1]).unwrap();
            one_line(streams.set_state(handle, &wrong).unwrap_err());
            let expected = {
                let mut again = Stream::on(Cpu::widest(), model.clone()).unwrap();
                again.step(&[0.5, 0.1]).unwrap();
                again.step(&[0.2, 0.3]).unwrap().to_vec()
            };
            assert_eq!(streams.step(handle, &[0.2, 0.3]).unwrap(), expected, "{what}: half a state");

            let mut learner = Learner::new(model.clone(), LearnerOptions::default(), Cpu::widest()).unwrap();
            let before = learner.state();
            one_line(learner.set_state(&wrong).unwrap_err());
            assert_eq!(learner.state().h(), before.h());
        }
    }
}

#[test]
fn last_values_of_another_model_are_refused() {
    let model = |transform: TargetTransform| {
        let scaler = || Scaler::new(vec![0.0], vec![1.0]).unwrap();
        let units = Units::scaled(scaler(), scaler()).with_transform(transform, &[0]).unwrap();
        Model::random(shape(CellKind::Rnn, 1, 3, 1), 0).unwrap().with_units(units).unwrap()
    };
    let season = |season: usize| TargetTransform::SeasonalChange { season };
    let mut three = Stream::on(Cpu::widest(), model(season(3))).unwrap();
    let mut five = Stream::on(Cpu::widest(), model(season(5))).unwrap();
    let fresh = five.state().unwrap().clone();
    three.set_state(&fresh).unwrap(); // it has seen nothing, so it has nothing to bring
    five.step(&[2.0]).unwrap();
    // three forms that look one row back: the numbers mean something else in each
    let transforms = [season(3), season(5), season(1), TargetTransform::Change, TargetTransform::RelativeChange];
    for (here, there) in transforms.iter().flat_map(|&here| transforms.map(|there| (here, there))) {
        let [mut stream, mut other] =
            [here, there].map(|transform| Stream::on(Cpu::widest(), model(transform)).unwrap());
        other.step(&[2.0]).unwrap();
        let set = stream.set_state(other.state().unwrap());
        let [mut learner, other] = [here, there]
            .map(|transform| Learner::new(model(transform), LearnerOptions::default(), Cpu::widest()).unwrap());
        let restored = learner.restore(&other.snapshot());
        if here == there {
            set.unwrap();
            restored.unwrap();
            continue;
        }
        let (set, restored) = (set.unwrap_err().to_string(), restored.unwrap_err().to_string());
        assert!(set.lines().count() == 1 && restored.lines().count() == 1, "{set}\n{restored}");
        assert!(set.contains(&format!("{there:?} of")) && set.contains(&format!("predicts {here:?}")), "{set}");
        // rings of another length are seen before their form is
        let says = format!("its model has the target transform {there:?}, this one has {here:?}");
        let expected = if here.lag() == there.lag() { &says } else { "of another model" };
        assert!(restored.contains(expected), "{restored}");
    }
    let mut state = five.state().unwrap().clone();
    assert!(state.set_past(model(season(5)).units().unwrap(), &[1.0; 4]).is_err());
    assert_eq!(state.past(), five.state().unwrap().past(), "half of what was refused was taken");
}

/// The last batch of a training may be smaller than the others: then its state is of fewer sequences than it was made for.
#[test]
fn a_state_that_was_made_for_more_sequences() {
    for cell in CellKind::ALL {
        let shape = shape(cell, 1, 17, 2);
        let model = Model::random(shape, 0).unwrap();
        let rows = Tensor::new([6, 1], values(6)).unwrap();
        let windows = Windows::shuffled(rows.clone(), rows, 3, 1, 2, false, 0).unwrap();
        let recipe = Recipe { carry: false, ..Recipe::default() };
        let mut trainer = Trainer::new(model.clone(), windows, recipe, Cpu::widest(), Threads::default()).unwrap();
        trainer.steps(2, |_| {}).unwrap();
        let state = trainer.state();
        assert_eq!(state.batch(), 1);
        let mut alone = State::new(&shape, 1);
        alone.set_h(state.h().data()).unwrap();
        if let Some(c) = state.c() {
            alone.set_c(c.data()).unwrap();
        }
        let answers = [state, &alone].map(|state| {
            let mut stream = Stream::on(Cpu::widest(), model.clone()).unwrap();
            stream.set_state(state).unwrap();
            let mut streams = Streams::new(model.clone(), Cpu::widest(), Threads::default(), 2).unwrap();
            let handle = streams.open().unwrap();
            streams.set_state(handle, state).unwrap();
            let mut learner = Learner::new(model.clone(), LearnerOptions::default(), Cpu::widest()).unwrap();
            learner.set_state(state).unwrap();
            let x = Tensor::new([1, 1], [0.5]).unwrap();
            let y = model.forward(Cpu::widest(), &x, Order::BatchFirst, &mut state.clone()).unwrap();
            let answers = [stream.step(&[0.5]), streams.step(handle, &[0.5]), learner.predict(&[0.5]), Ok(y.data())];
            answers.map(|answer| answer.unwrap()[0])
        });
        assert!(answers.as_flattened().iter().all(|answer| *answer == answers[1][0]), "{cell:?}: {answers:?}");
    }
}

#[test]
fn what_belongs_to_another_training_is_refused() {
    let plan = Plan {
        shape: shape(CellKind::Gru, 1, 3, 1),
        seq_len: 3,
        stride: 1,
        batch: 1,
        val_fraction: 0.25,
        scaling: Scaling::Standard,
        transform: TargetTransform::Value.into(),
        bounds: vec![],
        length: Length::Epochs(1),
        patience: Some(1),
        recipe: Recipe::default(),
    };
    let rows = |width: usize| Tensor::new([40, width], values(40 * width)).unwrap();
    let [one, two] = [1, 2].map(|targets| Table::new(rows(1), rows(targets), None).unwrap());
    let trainer = || plan.start(&[&one], Cpu::widest(), Threads::default()).unwrap().trainer;
    let said = |fit: &mut Fit| fit.outcome().unwrap_err().to_string();
    // what is held out has another column to be predicted
    let mut fit = Fit::new(trainer(), plan.prepare(&[&two]).unwrap().validation, None, 10, Some(1));
    assert_eq!(said(&mut fit), "outputs for the held-out columns: expected 2 values, got 1");
    let best = |hidden: usize| {
        let model = Model::random(plan.shape.with_hidden(hidden).unwrap(), 0).unwrap();
        Best { loss: 0.5, step: u64::MAX, model }
    };
    let mut fit = Fit::new(trainer(), plan.prepare(&[&one]).unwrap().validation, Some(best(2)), 10, Some(1));
    assert!(!fit.is_done() && said(&mut fit).contains("the best weights are of another network"));
    let saved =
        rnnstep::train::checkpoint::save("/nowhere/at/all", &mut trainer(), Some(&best(2)), &Metadata::default());
    assert!(saved.unwrap_err().to_string().contains("the best weights are of another network"));
    assert!(Fit::new(trainer(), None, Some(best(3)), 10, Some(1)).outcome().is_ok());
}

#[test]
fn numbers_beyond_all_measure() {
    assert_eq!(sine::window(u64::MAX, 3).count(), 4);
    let threads = Threads::new(if MIRI { 1 } else { 3 }).unwrap();
    for n in [0, 1, 2, 10, usize::MAX - 1, usize::MAX] {
        let parts = Mutex::new(Vec::new());
        threads.split(n, |part| parts.lock().unwrap().push(part));
        let mut parts = parts.into_inner().unwrap();
        parts.sort_by_key(|part| part.start);
        assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start), "{n}: {parts:?}");
        assert_eq!((parts[0].start, parts.last().unwrap().end), (0, n));
    }
    let rows = Tensor::new([3, 2], values(6)).unwrap().into();
    assert_eq!(End::of(&rows, &rows, usize::MAX).last, 0);

    let model = Model::random(shape(CellKind::Lstm, 2, 5, 2), 0).unwrap();
    assert!(rnnstep::measure::reference64::Answers::of(&model, usize::MAX).is_err());
    quietly(|| assert!(catch_unwind(|| rnnstep::measure::reference64::waves(&model, usize::MAX)).is_err()));
    let mut reading = rnnstep::model::inspect::read(&model, Cpu::widest(), &rows).unwrap();
    assert_eq!(reading.rows().last().map(|(step, layer, unit, _)| (step, layer, unit)), Some((2, 1, 4)));
    for (hidden, layers) in [(0, 2), (5, 0), (0, 0), (usize::MAX, 2), (5, usize::MAX), (usize::MAX, usize::MAX)] {
        (reading.hidden, reading.layers) = (hidden, layers);
        assert_eq!(reading.rows().count(), 3 * 2 * 5);
        reading.names = vec![];
        assert_eq!(reading.rows().count(), 3 * 2 * 5 * 8);
        reading.names = vec!["one"; 8];
    }

    // the last values of a season of many columns, of which a state would have to make room for terabytes
    let scaler = || Scaler::new(vec![0.0; 1 << 16], vec![1.0; 1 << 16]).unwrap();
    let columns: Vec<usize> = (0..1 << 16).collect();
    let transform = TargetTransform::SeasonalChange { season: TargetTransform::LONGEST };
    let units = Units::scaled(scaler(), scaler()).with_transform(transform, &columns).unwrap();
    assert!(State::new(model.shape(), 1000).set_past(&units, &[0.0; 4]).is_err());
}

#[test]
fn a_state_that_was_kept_goes_back_to_its_own_network_only() {
    let small = Model::random(shape(CellKind::Lstm, 1, 16, 1), 0).unwrap();
    let large = Model::random(shape(CellKind::Lstm, 1, 48, 2), 0).unwrap();
    let stepper = |model: &Model| Stepper::new(Cpu::widest(), model.shape(), Weights::F32, model.params());
    let (mut a, mut b) = (stepper(&small), stepper(&large));
    let (mut state_a, mut state_b) = (State::new(small.shape(), 1), State::new(large.shape(), 1));
    let mut bound = a.bind(small.params(), &mut state_a);
    let mut other = b.bind(large.params(), &mut state_b);
    bound.step(&[0.5]);
    let kept = bound.keep();
    let y = bound.step(&[0.1]).to_vec();
    bound.put_back(&kept);
    assert_eq!(bound.step(&[0.1]), y);
    quietly(|| assert!(catch_unwind(AssertUnwindSafe(|| other.put_back(&kept))).is_err()));
    std::mem::swap(&mut bound, &mut other);
    quietly(|| assert!(catch_unwind(AssertUnwindSafe(|| bound.put_back(&kept))).is_err()));
    other.put_back(&kept);
    assert_eq!(other.step(&[0.1]), y);
}

#[test]
fn steppers_look_at_every_length() {
    let model = Model::random(shape(CellKind::Gru, 2, 17, 2), 0).unwrap();
    let params = model.params();
    quietly(|| {
        for weights in Weights::ALL {
            // the arena of another format
            let made = catch_unwind(|| Stepper::new(Cpu::widest(), model.shape(), weights, params));
            assert_eq!(made.is_ok(), weights == Weights::F32);
        }
        let mut stepper = Stepper::new(Cpu::widest(), model.shape(), Weights::F32, params);
        for (what, mut wrong) in foreign(*model.shape()) {
            let bound = catch_unwind(AssertUnwindSafe(|| _ = stepper.bind(params, &mut wrong)));
            assert!(bound.is_err() || what == "another cell", "{what}");
        }
        let mut state = State::new(model.shape(), 1);
        assert!(catch_unwind(AssertUnwindSafe(|| _ = stepper.bind(&params[1..], &mut state))).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| stepper.params_changed(&params[1..]))).is_err());
        let mut bound = stepper.bind(params, &mut state);
        for len in [0, 1, 3, 17] {
            assert!(catch_unwind(AssertUnwindSafe(|| bound.step(&values(len)).len())).is_err());
        }
    });
}

#[test]
fn moments_and_gradients_of_other_lengths_are_refused() {
    let shape = shape(CellKind::Rnn, 1, 16, 1);
    let network = Network::new(Cpu::widest(), Threads::default(), &shape, 1, 1, Mode::Training).unwrap();
    let len = Model::random(shape, 0).unwrap().params().len();
    let update = Optimizer::default().update(1, 0.01);
    quietly(|| {
        for wrong in 0..4 {
            let mut arrays: Vec<Vec<f32>> = (0..4).map(|i| vec![0.0; len - usize::from(i == wrong) * 16]).collect();
            let [params, grads, m, v] = &mut arrays[..] else { unreachable!() };
            let work = || network.update(update, 1.0, params, grads, [m, v, &mut []]);
            assert!(catch_unwind(AssertUnwindSafe(work)).is_err(), "array {wrong}");
        }
    });
}

#[test]
fn fixed_models_know_their_layers() {
    type Small = rnnstep::model!(Lstm { input: 1, hidden: 3, layers: 2, output: Some(1), bias: true, weights: F32 });
    let model = Model::random(shape(CellKind::Lstm, 1, 3, 2), 0).unwrap();
    let fixed = Small::from_model(&model).unwrap();
    let mut stream = fixed.stream_on(Cpu::widest());
    for layer in [2, 3, usize::MAX / 16, usize::MAX / 16 + 1, usize::MAX - 1, usize::MAX] {
        assert!(stream.h(layer).is_none() && stream.c(layer).is_none(), "{layer}");
        assert!(stream.h_mut(layer).is_none() && stream.c_mut(layer).is_none(), "{layer}");
    }
    assert_eq!(stream.h(1).unwrap().len(), 3);
    let mut plain = Stream::on(Cpu::widest(), model).unwrap();
    assert_eq!(stream.step([0.5]), plain.step(&[0.5]).unwrap());
}

/// [`calls::run`] on bytes from a seed; the fuzz target `calls` has more of them, chosen by what they reach.
#[test]
fn calls_in_any_order() {
    let rounds = if MIRI { 2 } else { 3000 };
    quietly(|| {
        for round in 0..rounds {
            let mut seed = round + 1_u64;
            let mut byte = || {
                // xorshift: any bytes will do, as long as they are the same everywhere
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                (seed >> 24) as u8
            };
            let bytes: Vec<u8> = (0..if MIRI { 40 } else { 200 }).map(|_| byte()).collect();
            if let Err(panic) = catch_unwind(|| crate::calls::run(&bytes)) {
                eprintln!("round {round}");
                std::panic::resume_unwind(panic);
            }
        }
    });
}

#[test]
fn an_instruction_set_that_is_not_there_is_refused() {
    for isa in Isa::ALL {
        assert_eq!(Cpu::new(isa).is_ok(), isa.is_available(), "{isa:?}");
    }
}

/// Moments that no optimiser can have: learning would go wrong in every tick that follows, or never be seen to do nothing.
#[test]
fn moments_that_cannot_be_are_refused() {
    let model = || Model::random(shape(CellKind::Gru, 1, 3, 1), 0).unwrap();
    let make = || Learner::new(model(), LearnerOptions::default(), Cpu::widest()).unwrap();
    let mut learner = make();
    for i in 0..40 {
        learner.tick(&[(i as f32).sin()], &[(i as f32).cos()]).unwrap();
    }
    let good = learner.snapshot();
    make().restore(&good).unwrap();
    let cases =
        [("m", f32::NAN), ("good.m", f32::INFINITY), ("v", -1.0), ("good.v", -1e-30), ("v", f32::NAN), ("m", -1.0)];
    for (name, value) in cases {
        let mut bad = good.clone();
        let (_, values) = bad.buffers_mut().into_iter().find(|(of, _)| *of == name).unwrap();
        values[0] = value;
        let restored = make().restore(&bad);
        assert_eq!(restored.is_ok(), (name, value) == ("m", -1.0), "{name} {value}: {restored:?}");
    }
}
