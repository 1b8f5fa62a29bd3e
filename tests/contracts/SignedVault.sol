// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// Holds deposits for resolvers, one for each (depositor, asset, resolver, nonce), and pays out what a resolver signed.
/// A small contract of the shape that the economy expects, for development chains and tests; not for real money.
contract SignedVault {
    address public constant NATIVE = 0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE;
    bytes32 public constant WITHDRAWAL =
        keccak256("Withdrawal(address recipient,address asset,uint256 amount,uint256 nonce,uint256 deadline)");
    bytes32 private constant DOMAIN =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    uint256 private constant HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    event Deposit(
        address indexed depositor, address indexed asset, address indexed resolver, uint256 nonce, uint256 amount
    );
    event Withdrawal(
        address indexed recipient, address indexed asset, address indexed resolver, uint256 nonce, uint256 amount
    );

    mapping(bytes32 => uint256) private deposits;
    mapping(address => mapping(address => uint256)) private balances;
    mapping(address => mapping(uint256 => bool)) private spent;

    /// Pay `msg.value` to a resolver under a nonce that this depositor has not used with it.
    function deposit(address resolver, uint256 nonce) external payable {
        bytes32 key = keccak256(abi.encode(msg.sender, NATIVE, resolver, nonce));
        require(msg.value > 0, "nothing paid");
        require(resolver != address(0), "no resolver");
        require(deposits[key] == 0, "nonce used");
        deposits[key] = msg.value;
        balances[resolver][NATIVE] += msg.value;
        emit Deposit(msg.sender, NATIVE, resolver, nonce, msg.value);
    }

    /// Pay out what `resolver` signed; whoever sends it, it goes to the recipient, and only once for a nonce.
    function withdraw(
        address resolver,
        address recipient,
        address asset,
        uint256 amount,
        uint256 nonce,
        uint256 deadline,
        bytes calldata signature
    ) external {
        require(asset == NATIVE, "unknown asset");
        require(block.timestamp <= deadline, "too late");
        require(!spent[resolver][nonce], "nonce spent");
        bytes32 message = keccak256(abi.encode(WITHDRAWAL, recipient, asset, amount, nonce, deadline));
        require(signerOf(message, signature) == resolver, "not signed by the resolver");
        require(balances[resolver][asset] >= amount, "balance too low");
        spent[resolver][nonce] = true;
        balances[resolver][asset] -= amount;
        emit Withdrawal(recipient, asset, resolver, nonce, amount);
        (bool isPaid,) = recipient.call{value: amount}("");
        require(isPaid, "recipient refused");
    }

    function getDeposit(address depositor, address asset, address resolver, uint256 nonce)
        external
        view
        returns (uint256)
    {
        return deposits[keccak256(abi.encode(depositor, asset, resolver, nonce))];
    }

    function resolverBalanceOf(address resolver, address asset) external view returns (uint256) {
        return balances[resolver][asset];
    }

    function isSpent(address resolver, uint256 nonce) external view returns (bool) {
        return spent[resolver][nonce];
    }

    /// What every signature is bound to: this contract on this chain.
    function DOMAIN_SEPARATOR() public view returns (bytes32) {
        return keccak256(
            abi.encode(DOMAIN, keccak256("SignedVault"), keccak256("1"), block.chainid, address(this))
        );
    }

    function signerOf(bytes32 message, bytes calldata signature) private view returns (address) {
        require(signature.length == 65, "signature length");
        bytes32 r = bytes32(signature[0:32]);
        bytes32 s = bytes32(signature[32:64]);
        uint8 v = uint8(signature[64]);
        require(uint256(s) <= HALF_ORDER && (v == 27 || v == 28), "signature form");
        address found = ecrecover(keccak256(abi.encodePacked("\x19\x01", DOMAIN_SEPARATOR(), message)), v, r, s);
        require(found != address(0), "signature");
        return found;
    }
}
