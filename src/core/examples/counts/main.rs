//! What the parts of the core cost, and whole turns of an engine: nanoseconds, and under callgrind
//! instructions, allocations and copies, which repeat exactly.
//!
//! ```text
//! scripts/instructions                     counts all cases and compares with perf/instructions.json
//! scripts/instructions --time              nanoseconds
//! cargo run --release -p gnatsd-core --example counts -- --time turn/1to1/16
//! ```

mod enqueue;
mod frame;
mod matching;
mod parse;
mod turns;
mod world;

use frame::Case;

fn main() {
    let cases: Vec<Case> = parse::CASES
        .into_iter()
        .chain(matching::CASES)
        .chain(enqueue::CASES)
        .chain(turns::CASES)
        .collect();
    frame::run(&cases);
}
