//! What permissions cost: each server with a user who has a policy, against the same server and user without.

use crate::cells::Cell;
use crate::claims::{self, Claim};

/// Most that a delivery may cost with a policy, against none: 5 % more, at 20 entries and 16 bytes one to one.
const POLICY_MAX: f64 = 1.05;

/// Name of a server with a policy of so many entries.
pub(crate) fn name(server: &str, count: usize) -> String {
    format!("{server}+{count}")
}

/// The ratios of every server that was measured both with and without, in the order of the scenarios.
pub(crate) fn claims(cells: &[Cell], count: usize) -> Vec<Claim> {
    let claims = cells.iter().filter_map(|none| {
        let scenario = none.scenario;
        let with = name(&none.server, count);
        let is_limited = count == 20 && scenario.to_string() == "1to1:16";
        claims::claim(
            cells,
            format!("{scenario} {}", none.server),
            (scenario, &with),
            &[(scenario, &none.server)],
            is_limited.then_some(POLICY_MAX),
        )
    });
    claims.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::tests::cell;

    #[test]
    fn a_policy_is_set_against_none_of_the_same_server() {
        let cells = [
            cell("ours", &[100, 110, 100]),
            cell("ours+20", &[104, 121, 102]),
            cell("theirs", &[500, 500, 500]),
        ];
        let claims = claims(&cells, 20);
        assert_eq!(claims.len(), 1);
        let value = claims[0].to_json();
        assert_eq!(value["of"], "1to1:16 ours+20");
        assert_eq!(value["against"], "1to1:16 ours");
        assert_eq!(value["ratio"]["median"], 1.04);
        assert_eq!(value["holds"], true);
        assert!(super::claims(&cells[2..], 20).is_empty());
    }
}
