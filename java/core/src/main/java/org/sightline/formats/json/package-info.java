/** JSON with places in its errors, and as the Python and Rust writers print it. */
package org.sightline.formats.json;
