// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// Looks at accounts and at the block, moves value, and writes cells.
contract Probe {
    mapping(uint256 => uint256) public cells;

    event Seen(bytes32 digest);

    error Refused();
    error NotPaid();

    /// BALANCE, EXTCODEHASH, EXTCODESIZE and EXTCODECOPY.
    function look(address[] calldata targets) external {
        bytes32 digest;
        for (uint256 i = 0; i < targets.length; i++) {
            address target = targets[i];
            digest = keccak256(
                abi.encode(
                    digest, target.balance, target.codehash, target.code.length, keccak256(target.code)
                )
            );
        }
        emit Seen(digest);
    }

    /// EXTCODEHASH and EXTCODESIZE alone, which do not depend on the balance of what has code.
    function codes(address[] calldata targets) external {
        bytes32 digest;
        for (uint256 i = 0; i < targets.length; i++) {
            digest = keccak256(abi.encode(digest, targets[i].codehash, targets[i].code.length));
        }
        emit Seen(digest);
    }

    /// SELFBALANCE.
    function own() external {
        emit Seen(bytes32(address(this).balance));
    }

    function beneficiary() external {
        emit Seen(bytes32(block.coinbase.balance));
    }

    function environment() external {
        emit Seen(
            keccak256(
                abi.encode(
                    blockhash(block.number - 1),
                    block.number,
                    block.timestamp,
                    block.prevrandao,
                    block.basefee,
                    block.gaslimit,
                    block.chainid,
                    block.coinbase,
                    tx.origin,
                    tx.gasprice
                )
            )
        );
    }

    function keep(uint256 cell, address target) external {
        cells[cell] = target.balance;
    }

    function branch(address target, uint256 least) external {
        cells[target.balance >= least ? 1 : 2] += 1;
    }

    function bump(uint256 cell) external {
        cells[cell] += 1;
    }

    function copy(uint256 from, uint256 to) external {
        cells[to] = cells[from] + 1;
    }

    function clear(uint256 cell) external {
        delete cells[cell];
    }

    function pay(address payable to, uint256 amount) external payable {
        (bool paid,) = to.call{value: amount}("");
        if (!paid) revert NotPaid();
    }

    /// Pays, takes it back with the frame around the payment, and looks.
    function payAndUndo(address payable to, uint256 amount) external {
        try this.payAndRefuse(to, amount) {} catch {}
        emit Seen(bytes32(to.balance));
    }

    function payAndRefuse(address payable to, uint256 amount) external {
        (bool paid,) = to.call{value: amount}("");
        cells[3] = paid ? 1 : 2;
        revert Refused();
    }

    function refuse(uint256 cell) external {
        cells[cell] += 1;
        revert Refused();
    }

    function spin(uint256 rounds) external {
        bytes32 digest = bytes32(cells[0]);
        for (uint256 i = 0; i < rounds; i++) digest = keccak256(abi.encode(digest, i));
        cells[4] = uint256(digest);
    }

    receive() external payable {}
}
