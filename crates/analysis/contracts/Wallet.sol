// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// Makes calls in its own name: a contract to call, and one to delegate to (EIP-7702).
contract Wallet {
    struct Call {
        address to;
        uint256 value;
        bytes data;
        uint256 how;
    }

    uint256 public runs;

    error Failed(uint256 index);
    error Undone();

    /// `how` is 0 for a call that has to succeed, 1 for one that may fail, 2 for one that is undone
    /// with the frame around it, 3 for a static call, 4 for a delegate call.
    function run(Call[] calldata calls) external payable {
        runs += 1;
        for (uint256 i = 0; i < calls.length; i++) {
            Call calldata call = calls[i];
            bool done = true;
            if (call.how == 2) {
                try this.callAndUndo(call) {} catch {}
            } else if (call.how == 3) {
                (done,) = call.to.staticcall(call.data);
                done = true;
            } else if (call.how == 4) {
                (done,) = call.to.delegatecall(call.data);
            } else {
                (done,) = call.to.call{value: call.value}(call.data);
                done = done || call.how == 1;
            }
            if (!done) revert Failed(i);
        }
    }

    function callAndUndo(Call calldata call) external {
        (bool done,) = call.to.call{value: call.value}(call.data);
        runs += done ? 1 : 2;
        revert Undone();
    }

    receive() external payable {}
}
