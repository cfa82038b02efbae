// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

contract Counter {
    uint256 public number;

    event Counted(uint256 number);

    constructor(uint256 start) {
        number = start;
    }

    function increment() external {
        number += 1;
        emit Counted(number);
    }

    function set(uint256 to) external {
        require(to >= number, "only upwards");
        number = to;
        emit Counted(to);
    }
}

/// Deploys counters where CREATE2 says.
contract Factory {
    Counter[] public counters;

    function make(bytes32 salt) external returns (Counter counter) {
        counter = new Counter{salt: salt}(counters.length);
        counters.push(counter);
    }
}
