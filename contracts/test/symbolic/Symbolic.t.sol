// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Settlement} from "../../src/Settlement.sol";
import {BPS, share} from "../../src/libraries/Limits.sol";
import {PartnerShares} from "../../src/libraries/PartnerShares.sol";
import {ISettlement} from "../../src/interfaces/ISettlement.sol";
import {Deployment} from "../Fixture.sol";

/// @dev Lets records be set and slots be served one by one.
contract ServingSettlement is Settlement {
    constructor(Config memory config) Settlement(config) {}

    function setRecord(uint256 idx, Record calldata entry) external {
        _accounts[idx] = entry;
    }

    function serve(uint256 w0, uint256 w1) external {
        _serve(w0, w1);
    }
}

/// @dev For halmos: properties that hold for all numbers, not only for those that a fuzzer tries. forge does not run
/// them (`python scripts/analyse_contracts.py halmos` does); `assert` is what halmos looks for.
contract SymbolicTest is Deployment {
    using PartnerShares for uint256;

    ServingSettlement internal serving;

    function setUp() public {
        _deploy();
        serving = new ServingSettlement(config());
    }

    /// @dev How usage is cut into batches changes nothing for a partner.
    function check_cutting_usage_changes_nothing(uint256 word, uint64 first, uint64 second) public pure {
        _valid(word, uint256(first) + second);
        assert(word.add(first).add(second).earned() == word.add(uint256(first) + second).earned());
    }

    /// @dev New terms take nothing away and add nothing to what was earned, and count from here on.
    function check_terms_are_never_retroactive(uint256 word, uint16 bps) public pure {
        _valid(word, 0);
        if (bps > BPS) return;
        vm.assume(word.earned() <= type(uint64).max); // it is at most gross, which is
        uint256 changed = word.checkpoint(bps);
        assert(changed.earned() == word.earned());
        assert(changed.gross() == word.gross() && changed.checkpointGross() == word.gross());
        assert(changed.bps() == bps && changed.known());
    }

    /// @dev Floors of parts that sum to at most the whole never exceed it: the treasury is never negative. Division is
    /// hard to reason about: for amounts of 16 bits.
    function check_parts_fit_into_gross(uint16 gross) public pure {
        uint256 parts = share(gross, 1_500) + share(gross, 500) + share(gross, 1_000) + share(gross, 5_000);
        assert(parts <= gross);
    }

    /// @dev A slot pays exactly its amount, only what was asked for, and less than that only with `drain`.
    function check_withdrawals_are_served_as_requested(uint256 w0, uint64 requested, uint64 payable_) public {
        Settlement.Record memory entry = _record(requested, payable_);
        serving.setRecord(w0 & 0xffffff, entry);
        try serving.serve(w0 & ~(uint256(0x3fffffffffffff) << 132), 0) {}
        catch {
            return;
        }
        uint256 amount = (w0 >> 186) & 0x3fffffffffffff;
        bool drain = w0 >> 240 == 1;
        ISettlement.Account memory after_ = serving.account(w0 & 0xffffff);
        if (amount == 0 && !drain) {
            assert(after_.withdrawable == payable_ && after_.pendingWithdrawal == requested);
            return;
        }
        assert(after_.withdrawable == uint256(payable_) + amount);
        assert(after_.pendingWithdrawal == 0 && after_.withdrawalDeadline == 0);
        assert(requested != 0 && (drain ? amount <= requested : amount == requested));
    }

    /// @dev A slot takes at most what is pending; what is announced to be cancelled never exceeds it.
    function check_deposits_are_consumed_once(uint256 w0, uint64 pending, uint64 cancelling) public {
        if (cancelling > pending) return;
        Settlement.Record memory entry = _record(0, 0);
        (entry.pendingDeposit, entry.cancelling) = (pending, cancelling);
        serving.setRecord(w0 & 0xffffff, entry);
        try serving.serve(w0 & ((1 << 186) - 1), 0) {}
        catch {
            return;
        }
        uint256 consumed = (w0 >> 132) & 0x3fffffffffffff;
        ISettlement.Account memory after_ = serving.account(w0 & 0xffffff);
        assert(after_.pendingDeposit + consumed == pending);
        assert(after_.cancelling <= after_.pendingDeposit && after_.cancelling <= cancelling);
    }

    function _record(uint64 requested, uint64 payable_)
        private
        pure
        returns (Settlement.Record memory entry)
    {
        entry.status = ISettlement.Status.Open;
        (entry.pendingWithdrawal, entry.withdrawable) = (requested, payable_);
        if (requested != 0) entry.withdrawalDeadline = 1;
    }

    /// @dev Words as they can come about, with room for `more` gross; others are not looked at.
    function _valid(uint256 word, uint256 more) private pure {
        vm.assume(word.checkpointGross() <= word.gross());
        vm.assume(word.gross() + more <= type(uint64).max);
        vm.assume(word.bps() <= BPS);
        vm.assume(word >> 209 == 0);
        vm.assume(word.accrued() <= word.checkpointGross());
    }
}
