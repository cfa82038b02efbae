// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// Counts its frames in transient storage (EIP-1153), which is empty when a transaction begins and
/// goes back with a frame that reverts.
contract Transient {
    uint256 public total;

    error Left(uint256 count);
    error Undone();

    function run(uint256 depth) external {
        if (_count() != 0) revert Left(_count());
        this.enter(depth);
        try this.enterAndUndo(depth) {} catch {}
        if (_count() != depth + 1) revert Left(_count());
        total += _count();
    }

    function enter(uint256 depth) public {
        uint256 count = _count() + 1;
        assembly {
            tstore(0, count)
        }
        if (depth != 0) this.enter(depth - 1);
    }

    function enterAndUndo(uint256 depth) external {
        enter(depth);
        revert Undone();
    }

    function _count() private view returns (uint256 count) {
        assembly {
            count := tload(0)
        }
    }
}
