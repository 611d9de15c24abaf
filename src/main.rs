//! gnatsd.
fn main(){}
