// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Settlement} from "../src/Settlement.sol";
import {ISettlement} from "../src/interfaces/ISettlement.sol";
import {ContractWallet} from "./Doubles.sol";
import {Fixture} from "./Fixture.sol";

/// @dev Deposits that somebody else sends for a wallet: by permit and intent, or by ERC-3009 authorisation.
contract SettlementRelayedTest is Fixture {
    uint256 internal constant AMOUNT = 50 * 10 ** 6;

    function test_a_permit_and_an_intent_deposit_for_their_owner() public {
        ISettlement.DepositIntent memory intent = _intent(alice, KEY_COMMIT);
        uint256 idx = _relay(intent, _signIntent(ALICE_KEY, intent, 0), ALICE_KEY);
        assertEq(settlement.account(idx).owner, alice, "owner");
        assertEq(settlement.account(idx).pendingDeposit, AMOUNT, "pending");
        assertEq(settlement.nonces(alice), 1, "nonce");
    }

    function test_a_front_run_permit_is_tolerated() public {
        ISettlement.DepositIntent memory intent = _intent(alice, KEY_COMMIT);
        (uint8 v, bytes32 r, bytes32 s) = _signPermit(ALICE_KEY, intent);
        vm.prank(bob);
        token.permit(alice, address(settlement), AMOUNT, intent.deadline, v, r, s);
        uint256 idx = settlement.depositWithPermit(intent, _signIntent(ALICE_KEY, intent, 0), v, r, s);
        assertEq(settlement.account(idx).pendingDeposit, AMOUNT, "pending");
    }

    function test_attack_relayed_deposit_with_a_foreign_key_amount_or_owner() public {
        ISettlement.DepositIntent memory intent = _intent(alice, KEY_COMMIT);
        bytes memory signature = _signIntent(ALICE_KEY, intent, 0);
        intent.keyCommit = 666;
        _refusedIntent(intent, signature);
        intent.keyCommit = KEY_COMMIT;
        intent.amount = AMOUNT + 1;
        _refusedIntent(intent, signature);
        intent.amount = AMOUNT;
        intent.owner = bob;
        _refusedIntent(intent, signature);
    }

    function test_an_intent_is_used_once() public {
        ISettlement.DepositIntent memory intent = _intent(alice, 0);
        _deposit(alice, AMOUNT); // opens the account and leaves an allowance for more
        bytes memory signature = _signIntent(ALICE_KEY, intent, 0);
        _relay(intent, signature, ALICE_KEY);
        _refusedIntent(intent, signature);
    }

    function test_an_intent_is_for_one_settlement() public {
        ISettlement.DepositIntent memory intent = _intent(alice, KEY_COMMIT);
        bytes memory signature = _signIntent(ALICE_KEY, intent, 0);
        settlement = new Settlement(config());
        _refusedIntent(intent, signature);
    }

    function test_an_intent_expires() public {
        ISettlement.DepositIntent memory intent = _intent(alice, KEY_COMMIT);
        bytes memory signature = _signIntent(ALICE_KEY, intent, 0);
        vm.warp(intent.deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.IntentExpired.selector, intent.deadline));
        settlement.depositWithPermit(intent, signature, 0, 0, 0);
    }

    function test_an_intent_without_allowance_moves_nothing() public {
        ISettlement.DepositIntent memory intent = _intent(alice, KEY_COMMIT);
        bytes memory signature = _signIntent(ALICE_KEY, intent, 0);
        vm.expectRevert(
            abi.encodeWithSignature(
                "ERC20InsufficientAllowance(address,uint256,uint256)", address(settlement), 0, AMOUNT
            )
        );
        settlement.depositWithPermit(intent, signature, 0, 0, 0);
        assertEq(settlement.nonces(alice), 0, "nonce");
        assertEq(settlement.indexOf(alice), 0, "account");
    }

    function test_a_contract_wallet_signs_intents() public {
        ContractWallet wallet = new ContractWallet(bob);
        token.mint(address(wallet), AMOUNT);
        wallet.call(address(token), abi.encodeCall(token.approve, (address(settlement), AMOUNT)));
        ISettlement.DepositIntent memory intent = _intent(address(wallet), KEY_COMMIT);
        _refusedIntent(intent, _signIntent(ALICE_KEY, intent, 0));
        uint256 idx = settlement.depositWithPermit(intent, _signIntent(BOB_KEY, intent, 0), 0, 0, 0);
        assertEq(settlement.account(idx).owner, address(wallet), "owner");
    }

    function test_an_authorisation_deposits_for_its_author() public {
        (uint8 v, bytes32 r, bytes32 s) = _signAuthorization(KEY_COMMIT, "salt");
        uint256 idx = settlement.depositWithAuthorization(
            alice, AMOUNT, KEY_COMMIT, "salt", 0, type(uint256).max, v, r, s
        );
        assertEq(settlement.account(idx).owner, alice, "owner");
        assertEq(settlement.account(idx).pendingKey, KEY_COMMIT, "key");
        assertEq(settlement.account(idx).pendingDeposit, AMOUNT, "pending");
    }

    function test_attack_authorisation_with_a_foreign_key_or_used_twice() public {
        (uint8 v, bytes32 r, bytes32 s) = _signAuthorization(KEY_COMMIT, "salt");
        vm.expectRevert(abi.encodeWithSignature("InvalidAuthorizationSignature()"));
        settlement.depositWithAuthorization(alice, AMOUNT, 666, "salt", 0, type(uint256).max, v, r, s);
        // Nor can it be taken to the token itself: only the payee, the settlement, may present it.
        bytes32 nonce = keccak256(abi.encode(KEY_COMMIT, bytes32("salt")));
        vm.expectRevert(
            abi.encodeWithSignature("CallerNotPayee(address,address)", address(this), address(settlement))
        );
        token.receiveWithAuthorization(
            alice, address(settlement), AMOUNT, 0, type(uint256).max, nonce, v, r, s
        );

        (v, r, s) = _signAuthorization(0, "again");
        _deposit(alice, AMOUNT);
        settlement.depositWithAuthorization(alice, AMOUNT, 0, "again", 0, type(uint256).max, v, r, s);
        nonce = keccak256(abi.encode(uint256(0), bytes32("again")));
        vm.expectRevert(abi.encodeWithSignature("AuthorizationUsedOrCanceled(address,bytes32)", alice, nonce));
        settlement.depositWithAuthorization(alice, AMOUNT, 0, "again", 0, type(uint256).max, v, r, s);
    }

    function _intent(address owner, uint256 keyCommit) internal returns (ISettlement.DepositIntent memory) {
        if (owner == alice && keyCommit != 0) {
            vm.prank(alice);
            token.approve(address(settlement), 0); // the permit is what counts
        }
        return ISettlement.DepositIntent(owner, AMOUNT, keyCommit, block.timestamp + 1 hours);
    }

    function _relay(ISettlement.DepositIntent memory intent, bytes memory signature, uint256 permitKey)
        internal
        returns (uint256)
    {
        (uint8 v, bytes32 r, bytes32 s) = _signPermit(permitKey, intent);
        vm.prank(bob);
        return settlement.depositWithPermit(intent, signature, v, r, s);
    }

    function _refusedIntent(ISettlement.DepositIntent memory intent, bytes memory signature) internal {
        vm.expectRevert(ISettlement.InvalidIntentSignature.selector);
        settlement.depositWithPermit(intent, signature, 0, 0, 0);
    }

    function _signIntent(uint256 key, ISettlement.DepositIntent memory intent, uint256 nonce)
        internal
        view
        returns (bytes memory)
    {
        bytes32 domainHash = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("VIBES Settlement"),
                keccak256("1"),
                block.chainid,
                address(settlement)
            )
        );
        bytes32 content = keccak256(
            abi.encode(
                keccak256(
                    "DepositIntent(address owner,uint256 amount,uint256 keyCommit,uint256 nonce,uint256 deadline)"
                ),
                intent.owner,
                intent.amount,
                intent.keyCommit,
                nonce,
                intent.deadline
            )
        );
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(key, keccak256(abi.encodePacked("\x19\x01", domainHash, content)));
        return abi.encodePacked(r, s, v);
    }

    function _signPermit(uint256 key, ISettlement.DepositIntent memory intent)
        internal
        view
        returns (uint8, bytes32, bytes32)
    {
        bytes32 content = keccak256(
            abi.encode(
                keccak256(
                    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
                ),
                intent.owner,
                address(settlement),
                intent.amount,
                token.nonces(intent.owner),
                intent.deadline
            )
        );
        return vm.sign(key, keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), content)));
    }

    /// @dev Alice's ERC-3009 authorisation of AMOUNT to the settlement, for this key and salt.
    function _signAuthorization(uint256 keyCommit, bytes32 salt)
        internal
        view
        returns (uint8, bytes32, bytes32)
    {
        bytes32 content = keccak256(
            abi.encode(
                token.RECEIVE_WITH_AUTHORIZATION_TYPEHASH(),
                alice,
                address(settlement),
                AMOUNT,
                0,
                type(uint256).max,
                keccak256(abi.encode(keyCommit, salt))
            )
        );
        return vm.sign(ALICE_KEY, keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), content)));
    }
}
