//! What pandas says of time columns: tests/golden/time.py wrote it down.

use super::Calendar;

#[derive(serde::Deserialize)]
struct Case {
    step: String,
    cells: Vec<String>,
    next: Vec<String>,
    seconds: Option<Vec<i64>>,
}

#[test]
fn steps_and_next_times_are_those_of_pandas() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/time.json");
    let cases: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(cases.len() > 60, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for Case { step, cells, next, seconds } in cases {
        let (first, ahead) = (cells[0].clone(), next.len());
        let found = Calendar::of(&cells).map(|calendar| {
            let step = calendar.step().map_or_else(String::new, |step| step.to_string());
            (step, calendar.after(ahead).unwrap_or_default(), calendar.seconds(ahead))
        });
        if found.as_ref() != Some(&(step.clone(), next.clone(), seconds)) {
            let found = found.map(|(step, next, _)| (step, next));
            wrong.push(format!("{first}: {found:?}, not {step} and {next:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
