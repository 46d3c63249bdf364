/** The screen people. */

class Screen extends HTMLElement {}
customElements.define('ff-people', Screen);
