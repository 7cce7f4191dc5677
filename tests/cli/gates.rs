//! `rnnstep gates` prints the gates of a cell under the lesson's names; the values are checked
//! against their definitions.

use super::run::{Run, numbers_in_f32 as numbers};
use rnnstep::{CellKind, Cpu, Order, State, Tensor};

/// Rows `step, layer, unit, values` in order, the header checked.
fn rows(csv: &str, header: &str, [steps, layers, hidden]: [usize; 3]) -> Vec<Vec<f32>> {
    assert_eq!(csv.lines().next().unwrap(), format!("step,layer,unit,{header}"));
    let rows = numbers(csv, 0);
    let places = (0..steps).flat_map(|t| (0..layers).flat_map(move |l| (0..hidden).map(move |u| [t, l, u])));
    let found: Vec<[usize; 3]> = rows.iter().map(|row| [row[0], row[1], row[2]].map(|n| n as usize)).collect();
    assert_eq!(found, places.collect::<Vec<_>>());
    rows.into_iter().map(|row| row[3..].to_vec()).collect()
}

const X: [f32; 8] = [0.3, -0.7, 0.9, 0.1, -0.4, 2.0, -3.0, 0.0];

fn input(run: &Run) -> &'static str {
    run.file("x.csv", "a,b\n".to_string() + &X.chunks(2).map(|x| format!("{},{}\n", x[0], x[1])).collect::<String>())
}

fn close(a: f32, b: f32) -> bool {
    (a - b).abs() <= 1e-6 * b.abs().max(1.0)
}

#[test]
fn lstm_learns_forgets_remembers_uses() {
    let run = Run::new();
    let model = run.model("m.safetensors", CellKind::Lstm, [2, 5, 2, 1]);
    let args = format!("gates m.safetensors {}", input(&run));
    let answer = run.ok(&args);
    let rows = rows(&answer.stdout, "i,f,g,o,learn,forget,remember,use", [4, 2, 5]);
    let mut c = [0.0; 10];
    for (at, row) in rows.iter().enumerate() {
        let [i, f, g, o, learn, forget, remember, used] = row[..] else { panic!("{row:?}") };
        let c = &mut c[at % 10];
        for gate in [i, f, o] {
            assert!(gate > 0.0 && gate < 1.0, "{row:?}");
        }
        assert_eq!((learn, forget), (i * g, f), "row {at}");
        assert!(close(remember, f * *c + learn), "row {at}: {remember}");
        assert!(close(used, o * remember.tanh()), "row {at}: {used}");
        *c = remember;
    }
    // the gates of the first layer at the first step, from the weights themselves
    let weights = run.tensors("m.safetensors");
    let w = |name: &str| weights[&format!("rnn.{name}_l0")].data();
    for (unit, row) in rows.iter().take(5).enumerate() {
        let before = |gate: usize| {
            let row = gate * 5 + unit;
            w("weight_ih")[2 * row] * X[0] + w("weight_ih")[2 * row + 1] * X[1] + w("bias_ih")[row] + w("bias_hh")[row]
        };
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        let expected = [sigmoid(before(0)), sigmoid(before(1)), before(2).tanh(), sigmoid(before(3))];
        assert!(row.iter().zip(expected).all(|(&a, b)| close(a, b)), "unit {unit}: {:?}, not {expected:?}", rows[unit]);
    }
    // and the last ones are the state that predict leaves
    let mut state = State::new(model.shape(), 1);
    model.forward(Cpu::widest(), &Tensor::new([4, 2], X).unwrap(), Order::BatchFirst, &mut state).unwrap();
    let last = &rows[30..];
    assert_eq!(last.iter().map(|row| row[7]).collect::<Vec<_>>(), state.h().data());
    assert_eq!(last.iter().map(|row| row[6]).collect::<Vec<_>>(), state.c().unwrap().data());
    // to files
    let written = run.ok(&format!("{args} --out g.csv --plot g.svg"));
    assert_eq!((written.stdout.as_str(), run.text("g.csv")), ("", answer.stdout));
    let picture = run.text("g.svg");
    for word in ["learn", "forget", "remember", "use", "unit 0", "unit 4"] {
        assert!(picture.contains(word), "no {word:?} in the plot");
    }
}

#[test]
fn gru_mgu_and_rnn() {
    let run = Run::new();
    let input = input(&run);
    run.model("gru.safetensors", CellKind::Gru, [2, 5, 2, 1]);
    let answer = run.ok(&format!("gates gru.safetensors {input}"));
    let mut state = [0.0; 10];
    for (at, row) in rows(&answer.stdout, "r,z,n,h", [4, 2, 5]).iter().enumerate() {
        let [r, z, n, h] = row[..] else { panic!("{row:?}") };
        assert!((0.0..=1.0).contains(&r) && (-1.0..=1.0).contains(&n));
        assert!(close(h, (1.0 - z) * n + z * state[at % 10]), "row {at}: {h}");
        state[at % 10] = h;
    }
    run.model("mgu.safetensors", CellKind::Mgu, [2, 5, 2, 1]);
    let answer = run.ok(&format!("gates mgu.safetensors {input}"));
    let mut state = [0.0; 10];
    for (at, row) in rows(&answer.stdout, "f,n,h", [4, 2, 5]).iter().enumerate() {
        let [f, n, h] = row[..] else { panic!("{row:?}") };
        assert!((0.0..=1.0).contains(&f) && (-1.0..=1.0).contains(&n));
        assert!(close(h, (1.0 - f) * state[at % 10] + f * n), "row {at}: {h}");
        state[at % 10] = h;
    }
    let model = run.model("rnn.safetensors", CellKind::Rnn, [2, 5, 1, 1]);
    let answer = run.ok(&format!("gates rnn.safetensors {input} --plot g.png"));
    let rows = rows(&answer.stdout, "h", [4, 1, 5]);
    let mut state = State::new(model.shape(), 1);
    model.forward(Cpu::widest(), &Tensor::new([4, 2], X).unwrap(), Order::BatchFirst, &mut state).unwrap();
    assert_eq!(rows[15..].concat(), state.h().data());
    assert!(run.bytes("g.png").starts_with(b"\x89PNG"));
}

#[test]
fn scalers_are_part_of_the_model() {
    let run = Run::new();
    run.example("sunspots.csv");
    run.ok("train sunspots.csv --cell lstm --hidden 3 --epochs 1 --no-plot");
    let scaled = run.ok("gates model.safetensors sunspots.csv").stdout;
    assert_eq!(scaled.lines().count(), 1 + 309 * 3);
    let raw = run.ok("gates model.safetensors sunspots.csv --raw").stdout;
    assert_ne!(scaled, raw);
    run.fails("gates model.safetensors absent.csv", &["absent.csv"]);
}
