// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {VibesToken} from "../src/VibesToken.sol";
import {IVibesToken} from "../src/interfaces/IVibesToken.sol";
import {Base} from "./Base.sol";
import {ContractWallet} from "./Doubles.sol";

/// @dev Supply cap and ERC-3009 of the token.
contract VibesTokenTest is Base {
    uint256 internal constant KEY = 0xA11CE;
    uint256 internal constant AMOUNT = 5_000_000;
    bytes32 internal constant NONCE = keccak256("nonce");

    VibesToken internal token;
    address internal alice = vm.addr(KEY);
    address internal bob = address(0xB0B);

    function setUp() public {
        vm.warp(1_000_000);
        token = new VibesToken(address(this), new IVibesToken.Grant[](0));
        token.mint(alice, AMOUNT);
    }

    function test_units() public view {
        assertEq(token.decimals(), 6, "decimals");
        assertEq(token.CAP(), 10 ** 16, "cap");
        assertTrue(token.CAP() < 2 ** 54, "fits a slot's amount");
    }

    function test_burned_supply_cannot_be_minted_again() public {
        uint256 left = token.CAP() - AMOUNT;
        vm.expectRevert(abi.encodeWithSelector(IVibesToken.CapExceeded.selector, left + 1, left));
        token.mint(alice, left + 1);
        vm.prank(alice);
        token.burn(1);
        token.mint(alice, left);
        assertEq(token.totalMinted(), token.CAP(), "burned units stay counted");
        assertEq(token.totalSupply(), token.CAP() - 1, "supply");
        vm.expectRevert(abi.encodeWithSelector(IVibesToken.CapExceeded.selector, 1, 0));
        token.mint(alice, 1);
    }

    function test_grants_are_minted_at_deployment() public {
        IVibesToken.Grant[] memory grants = new IVibesToken.Grant[](1);
        grants[0] = IVibesToken.Grant(bob, 3);
        VibesToken other = new VibesToken(alice, grants);
        assertEq(other.balanceOf(bob), 3, "balance");
        assertEq(other.totalMinted(), 3, "counted");
        assertEq(other.owner(), alice, "minter");
        grants[0].amount = token.CAP() + 1;
        vm.expectRevert(
            abi.encodeWithSelector(IVibesToken.CapExceeded.selector, grants[0].amount, grants[0].amount - 1)
        );
        new VibesToken(alice, grants);
    }

    function test_only_the_owner_mints() public {
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", bob));
        vm.prank(bob);
        token.mint(bob, 1);
    }

    function test_ownership_moves_in_two_steps() public {
        token.transferOwnership(bob);
        assertEq(token.owner(), address(this), "not yet");
        vm.prank(bob);
        token.acceptOwnership();
        assertEq(token.owner(), bob, "accepted");
    }

    function test_a_transfer_authorisation_moves_money_once() public {
        bytes memory signature = _sign(KEY, token.TRANSFER_WITH_AUTHORIZATION_TYPEHASH(), alice, bob);
        (uint8 v, bytes32 r, bytes32 s) = _split(signature);
        vm.expectEmit(true, true, false, true, address(token));
        emit IVibesToken.AuthorizationUsed(alice, NONCE);
        token.transferWithAuthorization(alice, bob, AMOUNT, 0, 2_000_000, NONCE, v, r, s);
        assertEq(token.balanceOf(bob), AMOUNT, "moved");
        assertTrue(token.authorizationState(alice, NONCE), "used");
        vm.expectRevert(
            abi.encodeWithSelector(IVibesToken.AuthorizationUsedOrCanceled.selector, alice, NONCE)
        );
        token.transferWithAuthorization(alice, bob, AMOUNT, 0, 2_000_000, NONCE, signature);
    }

    function test_only_the_payee_receives() public {
        bytes memory signature = _sign(KEY, token.RECEIVE_WITH_AUTHORIZATION_TYPEHASH(), alice, bob);
        (uint8 v, bytes32 r, bytes32 s) = _split(signature);
        vm.expectRevert(abi.encodeWithSelector(IVibesToken.CallerNotPayee.selector, address(this), bob));
        token.receiveWithAuthorization(alice, bob, AMOUNT, 0, 2_000_000, NONCE, signature);
        // A receive authorisation is not a transfer authorisation: the front-runner's way round is shut.
        vm.expectRevert(IVibesToken.InvalidAuthorizationSignature.selector);
        token.transferWithAuthorization(alice, bob, AMOUNT, 0, 2_000_000, NONCE, signature);
        vm.prank(bob);
        token.receiveWithAuthorization(alice, bob, AMOUNT, 0, 2_000_000, NONCE, v, r, s);
        assertEq(token.balanceOf(bob), AMOUNT, "moved");
    }

    function test_authorisations_hold_for_a_time_and_a_value() public {
        bytes memory signature = _sign(KEY, token.TRANSFER_WITH_AUTHORIZATION_TYPEHASH(), alice, bob);
        vm.expectRevert(
            abi.encodeWithSelector(IVibesToken.AuthorizationNotYetValid.selector, block.timestamp)
        );
        token.transferWithAuthorization(alice, bob, AMOUNT, block.timestamp, 2_000_000, NONCE, signature);
        vm.expectRevert(IVibesToken.InvalidAuthorizationSignature.selector);
        token.transferWithAuthorization(alice, bob, AMOUNT - 1, 0, 2_000_000, NONCE, signature);
        vm.warp(2_000_000);
        vm.expectRevert(abi.encodeWithSelector(IVibesToken.AuthorizationExpired.selector, 2_000_000));
        token.transferWithAuthorization(alice, bob, AMOUNT, 0, 2_000_000, NONCE, signature);
    }

    function test_a_cancelled_authorisation_is_worthless() public {
        bytes32 content = keccak256(abi.encode(token.CANCEL_AUTHORIZATION_TYPEHASH(), alice, NONCE));
        bytes memory foreign = _signContent(KEY + 1, content);
        vm.expectRevert(IVibesToken.InvalidAuthorizationSignature.selector);
        token.cancelAuthorization(alice, NONCE, foreign);
        (uint8 v, bytes32 r, bytes32 s) = _split(_signContent(KEY, content));
        vm.expectEmit(true, true, false, true, address(token));
        emit IVibesToken.AuthorizationCanceled(alice, NONCE);
        token.cancelAuthorization(alice, NONCE, v, r, s);
        bytes memory signature = _sign(KEY, token.TRANSFER_WITH_AUTHORIZATION_TYPEHASH(), alice, bob);
        vm.expectRevert(
            abi.encodeWithSelector(IVibesToken.AuthorizationUsedOrCanceled.selector, alice, NONCE)
        );
        token.transferWithAuthorization(alice, bob, AMOUNT, 0, 2_000_000, NONCE, signature);
    }

    function test_contract_wallets_authorise_by_their_own_rule() public {
        address wallet = address(new ContractWallet(alice));
        token.mint(wallet, AMOUNT);
        bytes memory foreign = _sign(KEY + 1, token.TRANSFER_WITH_AUTHORIZATION_TYPEHASH(), wallet, bob);
        vm.expectRevert(IVibesToken.InvalidAuthorizationSignature.selector);
        token.transferWithAuthorization(wallet, bob, AMOUNT, 0, 2_000_000, NONCE, foreign);
        bytes memory signature = _sign(KEY, token.TRANSFER_WITH_AUTHORIZATION_TYPEHASH(), wallet, bob);
        token.transferWithAuthorization(wallet, bob, AMOUNT, 0, 2_000_000, NONCE, signature);
        assertEq(token.balanceOf(bob), AMOUNT, "moved");
    }

    function _sign(uint256 key, bytes32 typehash, address from, address to)
        internal
        view
        returns (bytes memory)
    {
        return _signContent(key, keccak256(abi.encode(typehash, from, to, AMOUNT, 0, 2_000_000, NONCE)));
    }

    function _signContent(uint256 key, bytes32 content) internal view returns (bytes memory) {
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), content));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function _split(bytes memory signature) internal pure returns (uint8 v, bytes32 r, bytes32 s) {
        assembly {
            r := mload(add(signature, 0x20))
            s := mload(add(signature, 0x40))
            v := byte(0, mload(add(signature, 0x60)))
        }
    }
}
