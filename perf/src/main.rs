//! perf.
fn main(){}
