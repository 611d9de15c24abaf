//! The picture: what is in it, and that it is one.

use super::*;
use crate::claims::tests::crossing;
use crate::claims::{APART, TOGETHER};
use crate::record::tests::{plan, record};

#[test]
fn the_picture_is_well_formed_and_says_who_wins() {
    let plan = plan("compare --reference <theirs>&");
    let costs: [(&str, &[i64]); 3] = [
        ("<ours> \"&\" \u{1}", &[20, 30, 25]),
        ("<theirs>&", &[200, 240, 250]),
        ("slow", &[400, 480, 500]),
    ];
    let svg = draw(&record(&plan, &costs)).expect("ratios");
    let document = roxmltree::Document::parse(&svg).unwrap_or_else(|e| panic!("{e}\n{svg}"));
    let texts: Vec<&str> = document
        .descendants()
        .filter(|node| node.has_tag_name("text"))
        .filter_map(|node| node.text())
        .collect();
    assert!(
        texts.contains(&"10.0\u{d7}") && texts.contains(&"0.50\u{d7}"),
        "{texts:?}"
    );
    assert!(
        texts.iter().any(|text| text.starts_with("<ours> \"&\"")),
        "{texts:?}"
    );
    let bars = document.descendants().filter(|node| {
        node.has_tag_name("rect")
            && node.attribute("fill").is_some()
            && node.attribute("rx").is_none()
    });
    assert_eq!(bars.count(), 2);
    // Everything is within the picture.
    for node in document.descendants() {
        for name in ["x", "x1", "x2", "width"] {
            let value: f64 = node
                .attribute(name)
                .map_or(0.0, |text| text.parse().unwrap());
            assert!((0.0..=WIDTH).contains(&value), "{name}={value}");
        }
    }
}

#[test]
fn what_crossing_costs_has_its_limits_drawn() {
    let plan = plan("compare");
    let names: [(&str, &[i64]); 2] = [(TOGETHER, &[]), (APART, &[])];
    let mut record = record(&plan, &names);
    record.cells = crossing(&[("1to1:16", [&[20], &[30]]), ("fanin4:16", [&[25], &[27]])]);
    let svg = draw(&record).expect("ratios");
    let document = roxmltree::Document::parse(&svg).unwrap_or_else(|e| panic!("{e}\n{svg}"));
    let texts: Vec<&str> = document
        .descendants()
        .filter_map(|node| node.text())
        .collect();
    for expected in [
        "fanin4:16 across",
        "against 1to1:16 mean of both",
        "1.50\u{d7}",
        "1.08\u{d7}",
    ] {
        assert!(texts.contains(&expected), "{expected}: {texts:?}");
    }
    let marks = document
        .descendants()
        .filter(|node| node.attribute("class") == Some("one"));
    // The line at 1, and two limits.
    assert_eq!(marks.count(), 3);
}

#[test]
fn nothing_to_compare_is_no_picture() {
    let plan = plan("compare");
    assert!(draw(&record(&plan, &[("ours", &[20])])).is_none());
    assert!(draw(&record(&plan, &[("ours", &[20]), ("theirs", &[])])).is_none());
}

#[test]
fn the_axis_has_one_and_every_value_on_it() {
    let ratio = |min, max| Summary {
        median: max,
        min,
        max,
    };
    let group = |ratio| Group {
        name: String::new(),
        figures: String::new(),
        bars: vec![(0, ratio)],
        at_most: Some(2.5),
    };
    for (min, max) in [(0.01, 0.02), (1.0, 1.0), (3.0, 90.0), (0.5, 2.0)] {
        let axis = Axis::over(&[group(ratio(min, max))]).expect("one");
        for value in [min, 1.0, max, 2.5] {
            let x = axis.x(value);
            assert!((AXIS.0..=AXIS.1).contains(&x), "{value} of {axis:?}");
        }
        assert!(axis.ticks().contains(&1.0), "{axis:?}");
    }
}
