//! Options can be read from a file, and the recipe of a model is written as such a file.

use super::run::Run;

#[test]
fn a_recipe_gives_the_same_model_again() {
    let run = Run::new();
    run.example("sunspots.csv");
    run.example("seattle-weather.csv");
    run.file("semicolon.csv", run.text("sunspots.csv").replace(',', ";"));
    let every = "--val-fraction 0.3 --scale min-max --steps 40 --nonlinearity relu --no-bias --clip 0.5";
    for recipe in [
        "",
        "--cell lstm --hidden 7 --layers 2 --steps 20 --seed 18446744073709551615",
        "sunspots.csv --target-as change --epochs 3",
        "sunspots.csv --cell gru --optimizer adamw --weight-decay 1e-5 --schedule cosine --state reset --batch 8 --dropout 0.25 \
         --layers 2 --stride 3 --epochs 2 --betas 0.8,0.99 --amsgrad --eps 1e-7 --patience 1 --loss-on last",
        "sunspots.csv --target-as seasonal-change --epochs 2 --loss huber --optimizer sgd --momentum 0.9 --nesterov --lr 1e-3",
        "seattle-weather.csv --column temp_max,wind --target temp_max --target-as change --epochs 1 --time date",
        "semicolon.csv --delimiter ; --header true --epochs 1 --missing forward-fill",
    ]
    .into_iter()
    .chain([format!("sunspots.csv {every}").as_str()])
    {
        run.ok(&format!("train {recipe} --no-plot --out a.safetensors"));
        let printed = run.ok("info a.safetensors --recipe");
        assert_eq!(printed.stderr, "", "{recipe}");
        run.file("r.toml", &printed.stdout);
        run.ok("train --config r.toml --no-plot --out b.safetensors");
        assert!(run.bytes("a.safetensors") == run.bytes("b.safetensors"), "{recipe}\n{}", printed.stdout);
        assert!(run.bytes("a.checkpoint.safetensors") == run.bytes("b.checkpoint.safetensors"), "{recipe}");
        assert_eq!(run.ok("info b.safetensors --recipe").stdout, printed.stdout);
    }
    run.model("bare.safetensors", rnnstep::CellKind::Rnn, [1, 4, 1, 1]);
    run.fails("info bare.safetensors --recipe", &["bare.safetensors", "has no recipe"]);
    run.misused("info --recipe", &["MODEL"]);
}

#[test]
fn what_is_typed_wins() {
    let run = Run::new();
    run.example("sunspots.csv");
    run.file("other.csv", run.text("sunspots.csv").replace("year", "when"));
    run.file(
        "r.toml",
        "# a recipe\ncell = \"gru\"\nhidden = 5\nepochs = 2\ndata = \"sunspots.csv\"\ncolumn = [2]\nlr = 1e-2\nno-bias = true\n\
         target-as = \"seasonal-change\"\nseason = 11\nbetas = [0.8, 0.9]\n",
    );
    let recipe = |args: &str| {
        run.ok(&format!("train --no-plot --config r.toml {args}"));
        run.ok("info model.safetensors --recipe").stdout
    };
    let plain = recipe("");
    for line in ["cell = \"gru\"", "hidden = 5", "epochs = 2", "no-bias = true", "season = 11", "betas = [0.8, 0.9]"] {
        assert!(plain.lines().any(|found| found == line), "{line}\n{plain}");
    }
    run.ok("train --no-plot sunspots.csv --cell gru --hidden 5 --epochs 2 --column 2 --no-bias --target-as seasonal-change --season 11 \
            --betas 0.8,0.9 --out typed.safetensors");
    let recipes = ["model.safetensors", "typed.safetensors"].map(|name| run.bytes(name));
    assert!(recipes[0] == recipes[1], "what a file says is what would be typed");
    // each of these is typed as well
    for (args, line, gone) in [
        ("--cell lstm", "cell = \"lstm\"", "gru"),
        ("--steps 9", "steps = 9", "epochs"),
        ("other.csv", "data = \"other.csv\"", "sunspots.csv"),
        ("--target-as value", "target-as = \"value\"", "season"),
        ("--betas 0.7 0.6", "betas = [0.7, 0.6]", "0.8"),
        ("--column sunspots --hidden 6", "hidden = 6", "hidden = 5"),
    ] {
        let said = recipe(args);
        assert!(said.lines().any(|found| found == line) && !said.contains(gone), "{args}\n{said}");
    }
    // after the name of the command, wherever it stands
    run.ok("train --no-plot --config r.toml -- other.csv");
    // evaluate takes the same file, and what only it knows
    let walk = run.ok("evaluate --config r.toml").stdout;
    assert!(
        walk.contains("GRU 1 -> 5 -> 1 without bias, target as change over 11 rows") && walk.contains("sunspots: "),
        "{walk}"
    );
    run.file("e.toml", run.text("r.toml") + "horizon = 2\ntest-fraction = 0.5\nrefit = 100\n");
    let walk = run.ok("evaluate --config e.toml --refit 80").stdout;
    assert!(walk.contains("1 to 2 steps ahead by a model trained 2 times"), "{walk}");
    run.fails("train --config e.toml", &["e.toml: line 12: unknown key \"horizon\""]);
    // a training that goes on is held to it as to what is typed
    run.ok("train --no-plot --config r.toml");
    run.ok("train --resume model.safetensors --config r.toml --epochs 3 --no-plot");
    run.misused("train --resume model.safetensors --config r.toml --cell rnn", &["--cell"]);
    run.misused("evaluate sunspots.csv model.safetensors --config r.toml", &["a MODEL has its own recipe"]);
}

#[test]
fn what_is_wrong_with_a_file_is_said_in_a_line() {
    let run = Run::new();
    run.example("sunspots.csv");
    for (text, says) in [
        ("data = \"sunspots.csv\"\nhiden = 3\n", "line 2: unknown key \"hiden\"; the nearest known is hidden"),
        ("seq_len = 3\n", "line 1: unknown key \"seq_len\"; the nearest known is seq-len"),
        ("\n\nhidden = \"three\"\n", "line 3: hidden: expected a whole number, not negative, got the text \"three\""),
        ("hidden = -3\n", "hidden: expected a whole number, not negative, got -3"),
        ("hidden = 3.5\n", "hidden: expected a whole number, not negative, got 3.5"),
        ("hidden = [3]\n", "hidden: expected a whole number, not negative, got a list"),
        ("cell = \"lstn\"\n", "cell: \"lstn\" is none of rnn, lstm, gru, mgu; the nearest known is lstm"),
        ("cell = 3\n", "cell: expected a text in quotes, got 3"),
        ("lr = \"high\"\n", "lr: expected a number, got the text \"high\""),
        ("lr = nan\n", "line 1: lr: must be a finite number, not negative"),
        ("no-bias = 1\n", "no-bias: expected true or false, got 1"),
        ("header = \"yes\"\n", "header: expected true or false, got the text \"yes\""),
        ("schedule = \"stairs\"\n", "schedule: "),
        ("loss = \"mean\"\n", "loss: "),
        ("betas = [0.9, \"much\"]\n", "betas: expected a number, got the text \"much\""),
        ("betas = [0.9, 0.8, 0.7]\n", "betas: expected at most 2 values, got 3"),
        ("column = [\"a,b\"]\n", "column: \"a,b\" holds a comma"),
        ("column = [[1]]\n", "column: expected a text in quotes, got a list"),
        ("epochs = 3\nsteps = 4\n", "cannot be used with"),
        ("out = \"m.safetensors\"\n", "\"out\" must be given on the command line"),
        ("threads = 2\n", "\"threads\" must be given on the command line"),
        ("config = \"other.toml\"\n", "\"config\" must be given on the command line"),
        ("[training]\nlr = 0.1\n", "line 1: unknown key \"training\""),
        ("hidden = 1979-05-27\n", "got a date"),
        ("cell = \"gru\"\ncell = \"lstm\"\n", "line 2: duplicate key"),
        ("cell = gru\n", "line 1: "),
        ("cell \"gru\"\n", "line 1: "),
        ("cell = \"gru\n", "line 1: "),
        ("cell.name = 3\n", "line 1: cell: expected a text in quotes, got a table"),
        ("target-as = \"shape\"\n", "is none of auto, value, change, relative-change, seasonal-change, residual"),
        ("data = \"missing.csv\"\n", "missing.csv"),
        ("seed = \"12\"\n", "seed: expected a whole number"),
        ("seed = 99999999999999999999\n", "line 1: "),
    ] {
        run.file("r.toml", text);
        let line = run.fails("train --config r.toml --no-plot", &[says]);
        assert!(line.contains("r.toml") || line.contains("missing.csv"), "{line}");
    }
    run.file("r.toml", [0xff, 0xfe, b'\n']);
    run.fails("train --config r.toml", &["r.toml: is not text in UTF-8"]);
    run.file("r.toml", "#".repeat((1 << 20) + 1));
    run.fails("train --config r.toml", &["r.toml: is too large"]);
    run.fails("train --config absent.toml", &["absent.toml"]);
    run.fails("evaluate --config .", &["."]);
    run.misused("evaluate --config", &["--config"]);
    // nothing said is nothing changed
    run.file("r.toml", "");
    let plain = run.ok("train --no-plot").stdout;
    let time =
        |said: &str| said.lines().filter(|line| !line.starts_with("trained ")).map(String::from).collect::<Vec<_>>();
    assert_eq!(time(&run.ok("train --no-plot --config r.toml").stdout), time(&plain));
}
