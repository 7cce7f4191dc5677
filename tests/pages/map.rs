//! The map in DESIGN.md is that of the floors which the test of the house holds.

use crate::{everything, pages, root};

/// The floors from the ground up, as the test of the house has them, wherever that test lies.
fn floors() -> Vec<Vec<String>> {
    let start = "const FLOORS: &[&[&str]] = &[";
    let tests = everything().into_iter().filter(|path| path.starts_with("tests/") && path.ends_with(".rs"));
    let texts = tests
        .filter(|path| !path.starts_with("tests/pages/"))
        .map(|path| std::fs::read_to_string(root().join(path)).unwrap());
    let text = texts.into_iter().find(|text| text.contains(start)).expect("a test has the floors");
    let list = text.split_once(start).unwrap().1.split_once("\n];").unwrap().0;
    let rooms = |line: &str| line.split("//").next().unwrap().split('"').skip(1).step_by(2).map(String::from).collect();
    list.lines().map(rooms).filter(|floor: &Vec<_>| !floor.is_empty()).collect()
}

/// The lines of the section `heading` of a page.
fn section<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    let after = text.lines().skip_while(|line| *line != heading).skip(1);
    after.take_while(|line| !line.starts_with("## ")).collect()
}

#[test]
fn the_map_is_that_of_the_floors() {
    let mut floors = floors();
    floors.reverse();
    assert!(floors.len() > 5, "only {} floors were found", floors.len());
    let page = pages().into_iter().find(|page| page.path == "DESIGN.md").unwrap();
    let lines = section(&page.text, "## The map");
    let drawn =
        lines.iter().skip_while(|line| !line.starts_with("```")).skip(1).take_while(|line| !line.starts_with("```"));
    let drawn: Vec<Vec<String>> = drawn
        .map(|line| line.split("  ").next().unwrap().split([' ', '·', '|']).filter(|word| !word.is_empty()))
        .map(|words| words.map(String::from).collect())
        .filter(|floor: &Vec<String>| !floor.contains(&"cli".to_string()))
        .collect();
    assert_eq!(drawn, floors, "the map in DESIGN.md, from the top down, and the floors of the house");
    // each room has a paragraph, in the same order
    let told = lines.iter().filter_map(|line| line.strip_prefix("**`")?.split_once("`**")).map(|(room, _)| room);
    let told: Vec<&str> = told.filter(|room| *room != "cli").collect();
    assert_eq!(told, floors.concat(), "the paragraphs of the map in DESIGN.md and the rooms of the house");
}
