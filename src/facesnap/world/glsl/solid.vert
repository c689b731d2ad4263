// Glasses and torso: static geometry in template space, carried by an affine map.
in vec3 in_position;
in vec3 in_normal;
in vec3 in_rest;        // pattern coordinates
uniform mat4x3 u_carry;
uniform float u_follows_body;
out vec3 v_world;
out vec3 v_normal;
out vec4 v_rest;
void main() {
    v_world = posed(u_carry * vec4(in_position, 1.0), u_follows_body);
    v_normal = posed_direction(mat3(u_carry) * in_normal, u_follows_body);
    v_rest = vec4(in_rest, 1.0);
    gl_Position = clip(v_world);
}
