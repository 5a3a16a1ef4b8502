/** Camera images: decoding, resizing, augmentation. */
package org.sightline.vla.data.image;
