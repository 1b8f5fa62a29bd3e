// Lets a wallet of this browser fill in the sign-in forms; without one they are filled in by hand.
const wallet = window.ethereum;
const trouble = document.getElementById("wallet-trouble");

function complain(error) {
  trouble.textContent = `The wallet said: ${error?.message ?? error}`;
  trouble.hidden = false;
}

function offer(id, work) {
  const button = document.getElementById(id);
  if (!wallet || !button) return;
  button.hidden = false;
  button.addEventListener("click", () => {
    trouble.hidden = true;
    work().catch(complain);
  });
}

offer("use-wallet", async () => {
  const form = document.getElementById("address-form");
  const [address] = await wallet.request({ method: "eth_requestAccounts" });
  const chain = String(Number.parseInt(await wallet.request({ method: "eth_chainId" }), 16));
  if ([...form.chain.options].some((option) => option.value === chain)) form.chain.value = chain;
  form.address.value = address;
  form.requestSubmit();
});

offer("sign-with-wallet", async () => {
  const form = document.getElementById("signature-form");
  const bytes = new TextEncoder().encode(form.message.value.replaceAll("\r\n", "\n"));
  const hex = `0x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  form.signature.value = await wallet.request({ method: "personal_sign", params: [hex, form.dataset.address] });
  form.requestSubmit();
});
