//! Plots: every kind of series can be drawn, files are well formed and written whole, text fits its width.
#![cfg(feature = "plot")]

use proptest::prelude::*;
use rnnstep::Error;
use rnnstep::plot::{Area, Figure, Line, MAX_PANELS, Plot, Role, Scale, Style, picture, terminal};
use std::f64::consts::PI;
use unicode_width::UnicodeWidthStr;

fn tutorial() -> Plot {
    let time = |i: usize| i as f64 * PI / 20.0;
    let input = (0..20).map(|i| (time(i + 1), time(i).sin())).collect();
    let target = (0..20).map(|i| (time(i + 1), time(i + 1).sin())).collect();
    let prediction = (0..20).map(|i| (time(i + 1), 0.8 * time(i + 1).sin())).collect();
    Plot::new("step 15", "time", "sin(time)")
        .with(Line::new("target", Role::Target, target))
        .with(Line::dots("input", Role::Input, input))
        .with(Line::new("prediction", Role::Prediction, prediction))
}

/// The same points once joined and once as dots.
fn both(points: Vec<(f64, f64)>) -> Plot {
    Plot::new("title", "x", "y").with(Line::new("joined", Role::Prediction, points.clone())).with(Line::dots(
        "dots",
        Role::Input,
        points,
    ))
}

fn indexed(values: impl IntoIterator<Item = f64>) -> Plot {
    both(values.into_iter().enumerate().map(|(i, y)| (i as f64, y)).collect())
}

fn edge_cases() -> Vec<(&'static str, Plot)> {
    let nan = f64::NAN;
    vec![
        ("no line", Plot::default()),
        ("no point", both(vec![])),
        ("one point", both(vec![(3.0, 5.0)])),
        ("one point without value", both(vec![(3.0, nan)])),
        ("constant", indexed([0.1; 30])),
        ("constant zero", indexed([0.0; 30])),
        ("one x", both(vec![(1.0, 1.0), (1.0, 2.0), (1.0, -3.0)])),
        ("many powers", indexed((-30..=30).map(|power| 10f64.powi(power)))),
        ("all of f32", indexed([f32::MIN, -1.0, 0.0, f32::MIN_POSITIVE, f32::MAX].map(f64::from))),
        ("all of f64", indexed([f64::MIN, 0.0, 5e-324, f64::MAX, f64::INFINITY, f64::NEG_INFINITY])),
        ("smallest", indexed([5e-324, 1e-323, 0.0])),
        ("far from zero", indexed([1e15, 1e15 + 1.0, 1e15 + 2.0])),
        ("gaps", indexed([1.0, nan, nan, 2.0, 3.0, nan, 4.0])),
        ("time backwards", both((0..50).map(|i| (f64::from(-i), f64::from(i % 5))).collect())),
        ("x not finite", both(vec![(nan, 1.0), (f64::INFINITY, 2.0), (1.0, 3.0)])),
    ]
}

/// What a terminal shows of `text`: the escape sequences taken out.
fn shown(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\x1b') {
        out += before;
        let (sequence, after) = after.split_once('m').expect("a colour ends with m");
        assert!(sequence.strip_prefix('[').is_some_and(|s| s.chars().all(|c| c.is_ascii_digit() || c == ';')));
        rest = after;
    }
    out + rest
}

fn check_terminal(plot: &Plot, width: usize, height: usize, what: &str) {
    for colour in [false, true] {
        let text = terminal::render(plot, width, height, colour);
        assert!(colour || !text.contains('\x1b'), "{what}: colours that were not asked for");
        let text = shown(&text);
        assert!(text.lines().count() <= height, "{what}: {} lines of {height}", text.lines().count());
        assert!(text.is_empty() || text.ends_with('\n'));
        for line in text.lines() {
            assert_eq!(line.width(), width, "{what}: {line:?}");
            assert!(!line.chars().any(char::is_control), "{what}: {line:?}");
        }
    }
}

/// Decodes a PNG: width, height, RGB.
fn decode(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut pixels).expect("whole");
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    (info.width, info.height, pixels)
}

/// The least distance (per channel) from any pixel to `colour`.
fn nearest(pixels: &[u8], colour: [u8; 3]) -> u8 {
    let distance = |p: &[u8]| p.iter().zip(colour).map(|(&a, b)| a.abs_diff(b)).max().unwrap_or(255);
    pixels.chunks_exact(3).map(distance).min().unwrap_or(255)
}

#[test]
fn every_edge_case_can_be_drawn() {
    for (what, plot) in edge_cases() {
        for (width, height) in [(80, 24), (20, 5), (21, 6), (200, 50)] {
            check_terminal(&plot, width, height, what);
        }
        assert!(terminal::render(&plot, 80, 24, false).lines().count() >= 20, "{what}");
        let log = Plot { x_scale: Scale::Log, y_scale: Scale::Log, ..plot.clone() };
        check_terminal(&log, 80, 24, what);
        let figure = Figure::grid("", vec![plot, log], 2);
        let svg = picture::svg(&figure).expect(what);
        roxmltree::Document::parse(&svg).unwrap_or_else(|e| panic!("{what}: {e}\n{svg}"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{what}");
        assert_eq!(decode(&picture::png(&figure).expect(what)).0, picture::WIDTH, "{what}");
    }
}

#[test]
fn the_tutorial_as_svg() {
    let svg = picture::svg(&tutorial().into()).unwrap();
    let document = roxmltree::Document::parse(&svg).unwrap();
    let root = document.root_element();
    assert_eq!((root.attribute("width"), root.attribute("height")), (Some("960"), Some("540")));
    assert_eq!(root.attribute("viewBox"), Some("0 0 9600 5400"));
    let all = |tag: &'static str| root.children().filter(move |n| n.has_tag_name(tag));
    let texts: Vec<&str> = all("text").filter_map(|n| n.text()).map(str::trim).collect();
    for text in ["step 15", "time", "sin(time)", "target", "input", "prediction", "0.0", "1.0"] {
        assert!(texts.contains(&text), "{text} is not among {texts:?}");
    }
    assert!(all("text").all(|n| n.attribute("font-family") == Some("sans-serif")));
    // Twenty red dots and one in the legend; a black and a blue line of twenty corners.
    assert_eq!(all("circle").filter(|n| n.attribute("fill") == Some("#D55E00")).count(), 21);
    for colour in ["#000000", "#0072B2"] {
        let corners = |n: roxmltree::Node| n.attribute("points").map_or(0, |p| p.split_whitespace().count());
        assert!(all("polyline").any(|n| n.attribute("stroke") == Some(colour) && corners(n) == 20), "{colour}");
    }
}

#[test]
fn points_stand_where_the_axes_say() {
    let plot = Plot::new("", "", "").with(Line::dots("", Role::Input, vec![(0.0, 0.0), (1.0, 8.0), (2.0, 4.0)]));
    let svg = picture::svg(&plot.into()).unwrap();
    let document = roxmltree::Document::parse(&svg).unwrap();
    let number = |n: &roxmltree::Node, name| n.attribute(name).unwrap().parse::<f64>().unwrap();
    let dots: Vec<(f64, f64)> = document
        .descendants()
        .filter(|n| n.has_tag_name("circle"))
        .map(|n| (number(&n, "cx"), number(&n, "cy")))
        .collect();
    assert_eq!(dots.len(), 3);
    // Right of each other at equal distances; 8 above 4 above 0, at equal distances too.
    assert!((dots[2].0 - 2.0 * dots[1].0 + dots[0].0).abs() <= 2.0 && dots[0].0 < dots[1].0);
    assert!((dots[0].1 - 2.0 * dots[2].1 + dots[1].1).abs() <= 2.0 && dots[1].1 < dots[2].1);
    // The tick "4" stands at the height of the point at 4.
    let tick = document.descendants().find(|n| n.has_tag_name("text") && n.text().map(str::trim) == Some("4"));
    let baseline = number(&tick.unwrap(), "y") + 0.76 * 110.0;
    assert!((baseline - 0.35 * 110.0 - dots[2].1).abs() < 20.0, "{baseline} and {dots:?}");
}

/// An area reaches from its lower edge to its upper one, the axis to both, and where there is no edge there is a gap.
#[test]
fn an_area_lies_between_its_edges() {
    let points = vec![(0.0, -5.0, 1.0), (1.0, -7.0, 3.0), (2.0, f64::NAN, 2.0), (3.0, 0.0, 9.0), (4.0, 0.0, 9.0)];
    let line = Line::new("line", Role::History, vec![(0.0, 0.0), (4.0, 1.0)]);
    let plot = Plot::new("", "", "").with(line).over(Area::new("80 %", Role::Forecast, points));
    let svg = picture::svg(&plot.clone().into()).unwrap();
    let document = roxmltree::Document::parse(&svg).unwrap();
    let areas: Vec<Vec<(f64, f64)>> = document
        .descendants()
        .filter(|n| n.has_tag_name("polygon") && n.attribute("fill") == Some("#E69F00"))
        .map(|n| {
            let numbers = n.attribute("points").unwrap().split([' ', ',']).filter_map(|number| number.parse().ok());
            let numbers: Vec<f64> = numbers.collect();
            numbers.chunks(2).map(|p| (p[0], p[1])).collect()
        })
        .collect();
    // the legend's, before the gap, after it
    let [_, before, after] = areas.as_slice() else { panic!("{} areas", areas.len()) };
    // x and y of -5, -7, 3, 1 in turn: along the lower edge and back along the upper one
    let unit = (before[1].1 - before[0].1) / 2.0;
    let heights: Vec<f64> = before.iter().map(|p| -5.0 - ((p.1 - before[0].1) / unit)).collect();
    assert!(
        unit > 100.0 && heights.iter().zip([-5.0, -7.0, 3.0, 1.0]).all(|(a, b)| (a - b).abs() < 0.02),
        "{heights:?}"
    );
    assert!(before[0].0 == before[3].0 && before[1].0 == before[2].0 && before[2].0 < after[0].0);
    assert_eq!(after.len(), 4);
    assert!(svg.contains("80 %"), "the legend names it");
    // orange on white, a quarter of it
    let (_, _, pixels) = decode(&picture::png(&plot.clone().into()).unwrap());
    assert!(nearest(&pixels, [249, 234, 199]) < 8, "no tint");
    let text = terminal::render(&plot, 60, 15, false);
    assert!(text.contains("⠒⠂⠒ 80 %"), "{text}");
    let without = terminal::render(&Plot { areas: vec![], ..plot }, 60, 15, false);
    assert_ne!(text, without);
}

/// One step ahead is a forecast as well: of one point an area is as wide as a line, and seen.
#[test]
fn an_area_of_one_point_is_seen() {
    let line = || Line::new("line", Role::History, vec![(0.0, 0.0), (4.0, 1.0)]);
    let plot = Plot::new("", "", "").with(line()).over(Area::new("", Role::Forecast, vec![(2.0, 0.2, 0.8)]));
    let svg = picture::svg(&plot.clone().into()).unwrap();
    let document = roxmltree::Document::parse(&svg).unwrap();
    let area = document.descendants().find(|n| n.has_tag_name("polygon")).and_then(|n| n.attribute("points")).unwrap();
    assert_eq!(area.split_whitespace().collect::<std::collections::BTreeSet<_>>().len(), 4, "{area}");
    let without = terminal::render(&Plot::new("", "", "").with(line()), 60, 15, false);
    assert_ne!(terminal::render(&plot, 60, 15, false), without);
}

/// As many panels side by side as there are have hardly a pixel each.
#[test]
fn panels_without_room_are_drawn() {
    let points = (0..100).map(|i| (f64::from(i), -1.0, f64::from(i % 7)));
    let area = Area::new("area", Role::Forecast, points.clone().collect());
    let panel = both(points.map(|(x, _, y)| (x, y)).collect()).over(area);
    for columns in [8, 20, MAX_PANELS, usize::MAX] {
        let figure = Figure::grid("narrow", vec![panel.clone(); MAX_PANELS], columns);
        assert!(roxmltree::Document::parse(&picture::svg(&figure).unwrap()).is_ok(), "{columns}");
        assert_eq!(decode(&picture::png(&figure).unwrap()).0, 960, "{columns}");
    }
}

#[test]
fn the_tutorial_as_png() {
    let (width, height, pixels) = decode(&picture::png(&tutorial().into()).unwrap());
    assert_eq!((width, height), (960, 540));
    assert_eq!(&pixels[..3], [255, 255, 255]);
    for colour in [[213, 94, 0], [0, 114, 178], [0, 0, 0]] {
        assert!(nearest(&pixels, colour) < 24, "{colour:?} is not in the picture");
    }
}

#[test]
fn png_strokes_stay_inside_the_plot() {
    // Sharp corners close together, where the outline of a stroke has peaks of its own.
    let zigzag = (0..20_000).map(|i| (f64::from(i), f64::from((i * 7919) % 1000))).collect();
    let plot = Plot::new("", "", "").with(Line::new("", Role::Prediction, zigzag));
    let (width, height, pixels) = decode(&picture::png(&plot.into()).unwrap());
    let blue = |x: u32, y: u32| {
        let at = ((y * width + x) * 3) as usize;
        pixels[at..at + 3].iter().zip([0, 114, 178]).all(|(&a, b)| a.abs_diff(b) < 60)
    };
    let rows: Vec<u32> = (0..height).filter(|&y| (0..width).any(|x| blue(x, y))).collect();
    let (first, last) = (rows[0], rows[rows.len() - 1]);
    // The margin of the y axis is 6% at both ends: nothing is drawn there.
    assert!(first > 40 && last < 495, "{first} to {last}");
}

#[test]
fn the_same_figure_gives_the_same_bytes() {
    let figure = Figure::from(tutorial());
    assert_eq!(picture::svg(&figure).unwrap(), picture::svg(&figure).unwrap());
    assert_eq!(picture::png(&figure).unwrap(), picture::png(&figure).unwrap());
}

#[test]
fn a_million_points_make_a_small_file() {
    let noise = |i: u32| f64::from(i.wrapping_mul(2_654_435_761) >> 8) / f64::from(1 << 24);
    let points: Vec<(f64, f64)> = (0..1_000_000).map(|i| (f64::from(i), noise(i))).collect();
    let gaps = points.iter().map(|&(x, y)| (x, if y < 0.5 { f64::NAN } else { y })).collect();
    let shuffled = points.iter().map(|&(x, y)| (y, x)).collect();
    for (what, points) in [("noise", points), ("gaps", gaps), ("any order", shuffled)] {
        let figure = Figure::from(both(points));
        let (svg, png) = (picture::svg(&figure).unwrap(), picture::png(&figure).unwrap());
        assert!(svg.len() < 1_000_000, "{what}: {} bytes of SVG", svg.len());
        assert!(png.len() < 1_000_000, "{what}: {} bytes of PNG", png.len());
        check_terminal(&figure.panels[0], 100, 30, what);
    }
    // Many lines share what one file may hold.
    let wave = |unit: u32| (0..5_000).map(|i| (f64::from(i), noise(i * 64 + unit))).collect();
    let gate = |_| {
        let lines = (0..64).map(|unit| Line::new(format!("unit {unit}"), Role::Gate(unit as usize), wave(unit)));
        Plot { lines: lines.collect(), ..Plot::default() }
    };
    let svg = picture::svg(&Figure::stacked("gates", (0..4).map(gate).collect())).unwrap();
    assert!(svg.len() < 1_000_000, "{} bytes", svg.len());
    assert!(svg.contains("more"), "64 names do not fit into three rows");
}

#[test]
fn any_name_can_be_written() {
    let names =
        ["<&\">'", "größe, µ", "日本語のグラフ", "a\u{0}b\u{1b}[31mc\nd\te", "\u{202e}turned", "]]>", "\u{ffff}", "👩‍👩‍👧"];
    for name in names {
        let mut plot = tutorial();
        (plot.title, plot.x_label, plot.y_label) = (name.into(), name.into(), name.into());
        plot.lines[0].name = name.into();
        plot.x_names = vec![name.repeat(20); 4];
        check_terminal(&plot, 60, 20, name);
        check_terminal(&plot, 20, 5, name);
        let figure = Figure::grid(name, vec![plot.clone(), plot], 2);
        let svg = picture::svg(&figure).unwrap();
        let document = roxmltree::Document::parse(&svg).unwrap_or_else(|e| panic!("{name:?}: {e}"));
        let wanted = name.replace(['\0', '\u{1b}', '\n', '\t', '\u{202e}', '\u{ffff}'], " ");
        let found = document.descendants().any(|n| n.text().is_some_and(|text| text.trim() == wanted.trim()));
        assert!(found || wanted.trim().is_empty(), "{name:?} is not in the picture");
        picture::png(&figure).unwrap();
    }
    let family = Plot::new(names[names.len() - 1], "", "");
    assert!(terminal::render(&family, 40, 10, false).contains('👧'), "a terminal shows them one by one");
    let mut plot = tutorial();
    plot.title = "long ".repeat(10_000);
    plot.lines[0].name = "long".repeat(10_000);
    check_terminal(&plot, 60, 20, "long");
    assert!(picture::svg(&plot.into()).unwrap().len() < 20_000);
}

#[test]
fn lines_without_colour_are_told_apart() {
    let text = terminal::render(&tutorial(), 80, 20, false);
    assert!(text.contains("⠒o⠒ target   x input   ⠒+⠒ prediction"), "{text}");
    let body = text.lines().skip(2).collect::<String>();
    assert!(body.matches('o').count() >= 3 && body.matches('+').count() >= 3, "{text}");
    assert!(body.matches('x').count() >= 15, "{text}");
    let alone = Plot::new("", "", "").with(Line::new("alone", Role::Target, vec![(0.0, 0.0), (1.0, 1.0)]));
    assert!(!terminal::render(&alone, 40, 10, false).lines().skip(1).any(|line| line.contains('o')));
}

#[test]
fn a_terminal_line_rises_where_the_series_does() {
    let rising =
        Plot::new("", "", "").with(Line::new("", Role::Target, (0..100).map(|i| (i as f64, i as f64)).collect()));
    let text = terminal::render(&rising, 60, 12, true);
    let braille = |c: char| ('\u{2801}'..='\u{28ff}').contains(&c);
    let firsts: Vec<usize> = text.lines().filter_map(|line| line.chars().position(braille)).collect();
    assert!(firsts.len() >= 8 && firsts.is_sorted_by(|above, below| above > below), "{text}");
}

#[test]
fn panels_share_axis_and_legend() {
    let panel = |name: &str, from: i32| {
        let points = (from..from + 10).map(|i| (f64::from(i), f64::from(i))).collect();
        Plot::new(name, "step", "").with(Line::new("unit 0", Role::Gate(0), points))
    };
    let names = ["learn", "forget", "remember", "use"];
    let figure = Figure::stacked("gates", names.iter().zip(0..).map(|(name, i)| panel(name, 10 * i)).collect());
    let svg = picture::svg(&figure).unwrap();
    let text = terminal::render_figure(&figure, 80, 10, false);
    for text in [&svg, &text] {
        assert!(names.iter().all(|name| text.contains(name)));
        assert_eq!(text.matches("unit 0").count(), 1);
        assert_eq!(text.matches("step").count(), 1);
    }
    assert!(text.lines().all(|line| line.width() == 80));
    let apart = Figure { share_x: false, ..figure };
    assert_eq!(picture::svg(&apart).unwrap().matches("step").count(), 4);
}

#[test]
fn equal_ratios_are_equal_distances() {
    // y = x^2 is a straight line where both axes are logarithmic
    let points = (0..=40).map(|i| 10f64.powf(f64::from(i) / 20.0)).map(|x| (x, x * x)).collect();
    let log = Plot { x_scale: Scale::Log, y_scale: Scale::Log, ..Plot::default() };
    let plot = log.with(Line::dots("", Role::Compared(0), points));
    let text = terminal::render(&plot, 60, 20, false);
    let places: Vec<(usize, usize)> = text
        .lines()
        .enumerate()
        .flat_map(|(row, line)| {
            line.chars().enumerate().filter(|(_, c)| *c == 'o').map(move |(column, _)| (row, column))
        })
        .collect();
    let (&(top, right), &(bottom, left)) = (places.first().unwrap(), places.last().unwrap());
    for &(row, column) in &places {
        let expected = left + (right - left) * (bottom - row) / (bottom - top);
        assert!(column.abs_diff(expected) <= 3, "a row is as high as three columns are wide: {text}");
    }
    for label in ["10000 ┤", "1 ┤", "100", "10"] {
        assert!(text.contains(label), "{label}:\n{text}");
    }
    assert!(picture::svg(&plot.into()).unwrap().contains("10000"));
}

#[test]
fn names_of_rows_stand_below() {
    let mut plot =
        Plot::new("", "", "").with(Line::new("", Role::History, (0..100).map(|i| (i as f64, 1.0)).collect()));
    plot.x_names = (1900..2000).map(|year| format!("{year}-01-01")).collect();
    let text = terminal::render(&plot, 80, 10, false);
    assert!(text.contains("1900-01-01") && text.contains("1920-01-01"), "{text}");
    assert!(picture::svg(&plot.into()).unwrap().contains("1920-01-01"));
}

#[test]
fn too_small_or_too_many() {
    for (width, height) in [(0, 0), (19, 20), (80, 4), (usize::MIN, usize::MAX)] {
        assert_eq!(terminal::render(&tutorial(), width, height, true), "");
    }
    assert_eq!(terminal::render(&tutorial(), 30, usize::MAX, true).lines().count(), 1000);
    let wide = terminal::render_figure(&Figure::grid("title", vec![tutorial()], 1), usize::MAX, 10, false);
    assert!(wide.lines().all(|line| line.width() == 1000));
    for (panels, columns) in [(0, 1), (MAX_PANELS + 1, 1), (1, 0)] {
        let figure = Figure::grid("", vec![Plot::default(); panels], columns);
        assert!(matches!(picture::svg(&figure), Err(Error::Invalid(_))), "{panels} {columns}");
        assert!(matches!(picture::png(&figure), Err(Error::Invalid(_))), "{panels} {columns}");
    }
    for columns in [1, 7, MAX_PANELS, usize::MAX] {
        let figure = Figure::grid("", vec![tutorial(); MAX_PANELS], columns);
        roxmltree::Document::parse(&picture::svg(&figure).unwrap()).unwrap();
        picture::png(&figure).unwrap();
    }
}

#[test]
fn the_ending_decides() {
    let folder = tempfile::tempdir().unwrap();
    let figure = Figure::from(tutorial());
    for (name, start) in [("a.svg", &b"<svg "[..]), ("b.PNG", &b"\x89PNG"[..])] {
        let path = folder.path().join(name);
        std::fs::write(&path, "old").unwrap();
        picture::save(&figure, &path).unwrap();
        assert!(std::fs::read(&path).unwrap().starts_with(start), "{name}");
    }
    for name in ["c.jpg", "c", ".svg", "c.svg.gz"] {
        let error = picture::save(&figure, folder.path().join(name)).unwrap_err();
        assert!(matches!(error, Error::Invalid(_)));
        let message = error.to_string();
        assert!([name, ".svg", ".png"].iter().all(|part| message.contains(part)), "{message}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn what_cannot_be_written_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let figure = Figure::from(tutorial());
    let absent = folder.path().join("absent/a.svg");
    let error = picture::save(&figure, &absent).unwrap_err();
    assert!(matches!(&error, Error::File { path, .. } if *path == absent), "{error}");
    assert!(!error.to_string().contains(".rnnstep-"), "{error}");

    // A folder stands where the file should.
    let taken = folder.path().join("taken.png");
    std::fs::create_dir_all(taken.join("inside")).unwrap();
    let error = picture::save(&figure, &taken).unwrap_err();
    assert!(matches!(&error, Error::File { path, .. } if *path == taken), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn an_unwritable_folder_is_said() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(closed.join("probe"), "").is_ok() {
        // The superuser may write anywhere; the kernel's own folder is closed to all.
        let path = std::path::Path::new("/proc/a.svg");
        let error = picture::save(&tutorial().into(), path).unwrap_err().to_string();
        assert!(error.starts_with("/proc/a.svg: ") && error.lines().count() == 1, "{error}");
        return;
    }
    let error = picture::save(&tutorial().into(), closed.join("a.svg")).unwrap_err();
    assert!(matches!(&error, Error::Io { .. }) && error.to_string().contains("ermission"), "{error}");
    assert_eq!(std::fs::read_dir(&closed).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn a_new_file_can_be_read_like_any_other() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
    std::fs::write(folder.path().join("usual"), "").unwrap();
    picture::save(&tutorial().into(), folder.path().join("a.svg")).unwrap();
    assert_eq!(mode("a.svg"), mode("usual"));
}

/// Any float, the odd ones more often than chance would have it.
fn number() -> impl Strategy<Value = f64> {
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, f64::MAX, f64::MIN, 5e-324, 1e300, -1e-300];
    prop_oneof![3 => prop::sample::select(odd.to_vec()), 3 => any::<f64>(), 6 => -10.0..10.0]
}

fn role() -> impl Strategy<Value = Role> {
    let plain = [Role::Input, Role::Target, Role::Prediction, Role::Forecast, Role::History];
    prop_oneof![
        prop::sample::select(plain.to_vec()),
        any::<usize>().prop_map(Role::Gate),
        any::<usize>().prop_map(Role::Compared)
    ]
}

fn line() -> impl Strategy<Value = Line> {
    let points = prop::collection::vec((number(), number()), 0..200);
    (".{0,20}", role(), points, any::<bool>()).prop_map(|(name, role, points, dots)| {
        let style = if dots { Style::Dots } else { Style::Line };
        Line { name, points, role, style }
    })
}

fn area() -> impl Strategy<Value = Area> {
    let points = prop::collection::vec((number(), number(), number()), 0..100);
    (".{0,20}", role(), points).prop_map(|(name, role, points)| Area { name, points, role })
}

fn plot() -> impl Strategy<Value = Plot> {
    let texts = (".{0,30}", ".{0,30}", ".{0,30}", prop::collection::vec(".{0,30}", 0..5));
    let scale = || prop::sample::select(vec![Scale::Linear, Scale::Log]);
    let (areas, lines) = (prop::collection::vec(area(), 0..3), prop::collection::vec(line(), 0..10));
    let times = prop_oneof![prop::collection::vec(any::<i64>(), 0..9), prop::collection::vec(0..9_000_000_i64, 0..99)];
    (texts, times, scale(), scale(), areas, lines).prop_map(
        |((title, x_label, y_label, x_names), x_times, x_scale, y_scale, areas, lines)| Plot {
            title,
            x_label,
            y_label,
            x_names,
            x_times,
            x_scale,
            y_scale,
            areas,
            lines,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_plot_is_drawn(plot in plot(), width in 20..120usize, height in 5..40usize) {
        check_terminal(&plot, width, height, "any plot");
        let svg = picture::svg(&Figure::from(plot)).unwrap();
        prop_assert!(roxmltree::Document::parse(&svg).is_ok(), "{}", svg);
        prop_assert!(!svg.contains(">NaN") && !svg.contains("\"NaN"));
    }

    #[test]
    fn any_figure_is_drawn(panels in prop::collection::vec(plot(), 1..5), columns in 1..4usize, share_x: bool) {
        let figure = Figure { title: String::new(), panels, columns, share_x };
        let text = shown(&terminal::render_figure(&figure, 50, 12, true));
        prop_assert!(text.lines().all(|line| line.width() == 50));
        prop_assert!(roxmltree::Document::parse(&picture::svg(&figure).unwrap()).is_ok());
    }
}

proptest! {
    // A picture costs some thirty milliseconds.
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_png_is_drawn(plot in plot()) {
        let (width, height, _) = decode(&picture::png(&Figure::from(plot)).unwrap());
        prop_assert_eq!((width, height), (960, 540));
    }
}
