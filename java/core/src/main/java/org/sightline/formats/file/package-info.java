/** How files are opened, replaced whole, locked and named in messages. */
package org.sightline.formats.file;
