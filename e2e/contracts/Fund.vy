# SPDX-License-Identifier: MIT OR Apache-2.0
# pragma version 0.4.3
"""
@notice Collects gifts until a goal is reached.
"""

event Gift:
    giver: indexed(address)
    amount: uint256

goal: public(immutable(uint256))
owner: public(address)
gifts: public(HashMap[address, uint256])
total: public(uint256)

@deploy
def __init__(_goal: uint256):
    goal = _goal
    self.owner = msg.sender

@external
@payable
def give():
    assert msg.value > 0, "a gift is not nothing"
    assert self.total < goal, "the goal is reached"
    self.gifts[msg.sender] += msg.value
    self.total += msg.value
    log Gift(giver=msg.sender, amount=msg.value)

@external
def take():
    assert msg.sender == self.owner, "only the owner"
    assert self.total >= goal, "the goal is not reached"
    raw_call(self.owner, b"", value=self.balance)
    self.total = 0

@view
@external
def missing() -> uint256:
    return goal - min(goal, self.total)
