/** The screen people. */

class People extends HTMLElement {}
customElements.define('ff-people', People);
