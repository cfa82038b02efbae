//! Holds the repository to its own rules as part of plain `cargo test`.

use xtask::{Tree, tidy};

#[test]
fn repository_is_tidy() {
    let tree = Tree::of_this_repository().expect("the checkout is readable");
    assert!(
        tree.get("Cargo.toml").is_some() && tree.get("xtask/tests/tidy.rs").is_some(),
        "the walk did not start at the repository root"
    );
    let violations = tidy(&tree);
    let list: String = violations.iter().map(|violation| format!("\n  {violation}")).collect();
    assert!(violations.is_empty(), "{} violations:{list}", violations.len());
}
